"""learnrec's core and its service: see README.md for the map. Importing it does nothing."""
