"""Learners, contents and events in PostgreSQL."""
