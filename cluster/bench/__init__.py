"""Benchmarks: our way and a named rival on the same input, on this machine, one after the other."""
