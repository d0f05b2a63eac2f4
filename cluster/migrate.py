"""`python -m cluster.migrate`: the database to the newest schema, before a cluster starts that needs it."""

import sys

import typer

from app.errors import LearnrecError
from app.settings import load_settings
from cluster.stack.serving import migrate


def main() -> int:
    try:
        migrate(load_settings())
    except LearnrecError as exc:
        typer.echo(f"error: {exc}", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
