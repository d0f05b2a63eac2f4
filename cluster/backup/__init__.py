"""Backups: everything that cannot be made again from what is kept elsewhere, in one folder, and the way back."""
