"""The command line `learnrec`: every command's module is loaded only when it is called."""

from cluster.cli.root import main

__all__ = ["main"]
