"""A learning world with a known truth: who likes what, what builds on what, and what then happens."""
