"""Offline evaluation: a split folder in, ranked lists out, through the code that serves."""
