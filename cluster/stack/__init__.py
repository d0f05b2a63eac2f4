"""The embedded stack: real engines as child processes on loopback ports, everything they keep under VAR."""
