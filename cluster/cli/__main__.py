"""`python -m cluster.cli`: the same as `learnrec`."""

from cluster.cli import main

if __name__ == "__main__":
    main()
