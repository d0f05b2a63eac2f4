"""`python -m jobs NAME [--spec FILE] [--set key=value]`: what `ray job submit` runs on the cluster."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.errors import Conflict, InvalidInput, LearnrecError, NotFound
from app.settings import load_settings, prepare_process
from jobs.job import JOBS

EXIT_FAILED, EXIT_USAGE = 1, 2


def run(
    name: Annotated[str, typer.Argument(help=f"one of {', '.join(JOBS)}")],
    spec: Annotated[Path | None, typer.Option("--spec", help="TOML file; what it leaves out keeps its default")] = None,
    assign: Annotated[list[str] | None, typer.Option("--set", help="key=value or table.key=value")] = None,
    force: Annotated[bool, typer.Option("--force", help="do it again although the output is there")] = False,
) -> None:
    """Run one job on the Ray cluster that the settings name, or on a local one."""
    from jobs.runner import run_and_show

    run_and_show(name, load_settings(), file=spec, assignments=assign or (), force=force)


def main() -> int:
    prepare_process()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(run)
    try:
        app()
    except LearnrecError as exc:
        typer.echo(f"error: {exc}", err=True)
        return EXIT_USAGE if isinstance(exc, InvalidInput | NotFound | Conflict) else EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
