"""`learnrec demo`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.settings import load_settings


def demo(
    data: Annotated[
        Path | None, typer.Option(help="Folder of a MARS or MovieLens data set; without it, a generated world.")
    ] = None,
) -> None:
    """From nothing to personalised recommendations over HTTP, on embedded stores; then stop everything.

    Uses a stack of its own in VAR/demo/NAME, never the one of `learnrec up`. Writes VAR/demo.json.
    """
    from cluster.demo.run import run_demo

    root = load_settings(embedded=False).var_dir
    root.mkdir(parents=True, exist_ok=True)
    run_demo(Console(), root=root, data=data)
