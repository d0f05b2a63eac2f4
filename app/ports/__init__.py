"""What the core asks of the world, at most five methods each; every adapter passes the port's contract suite."""
