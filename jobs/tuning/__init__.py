"""Sweeps: search spaces, trials on the cluster, what is remembered of them and what is told in the end."""
