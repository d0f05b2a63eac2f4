"""`learnrec evaluate`: quality, offline, on a split folder."""

import time
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.table import Table

from cluster.cli.report import report

NUM_STEPS = 7
"""Reading, towers, ranking set, ranker, the same on shuffled labels, towers again, ranking."""

evaluate_app = typer.Typer(help="Judge the models offline, on a split of events.", no_args_is_help=True)


@evaluate_app.callback()
def _group() -> None:
    """Judge the models offline, on a split of events."""


evaluate_app.command()(report)


@evaluate_app.command()
def offline(
    split: Annotated[Path, typer.Argument(help="Folder with train.csv (user_id, item_id, …) and users.csv.")],
    out: Annotated[
        Path,
        typer.Option(help="Parquet file to write: user_id, item_id, rank, …; training metrics go beside it, as JSON."),
    ],
    items: Annotated[Path | None, typer.Option(help="CSV or Parquet of the items; columns are found by name.")] = None,
    spec: Annotated[Path | None, typer.Option(help="TOML with [towers] and [ranker]; defaults without it.")] = None,
) -> None:
    """Train on SPLIT/train.csv and write ranked lists, 100 deep, for the learners of SPLIT/users.csv."""
    from jobs.progress import native_noise_hidden, steps
    from jobs.spec import parse_spec, read_toml

    with native_noise_hidden():
        from jobs.offline.evaluate import Progress, Spec, evaluate  # imports TensorFlow

    chosen = cast(Spec, parse_spec(Spec, read_toml(spec), where=str(spec))) if spec else Spec()
    started = time.monotonic()
    with native_noise_hidden(), steps("evaluate", NUM_STEPS) as advance:
        done = 0

        def on_step(what: str) -> None:
            nonlocal done
            advance(done, what)
            done += 1

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            told = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            advance(done - 1, f"towers, epoch {epoch + 1}: {told}")

        metrics = evaluate(split, items=items, out=out, spec=chosen, progress=Progress(on_step, on_epoch))
    console = Console(stderr=True)
    table = Table("metric", "value", box=None)
    for name, value in metrics.items():
        table.add_row(name, f"{value:.4f}")
    console.print(table)
    console.print(f"wrote {out} in {time.monotonic() - started:.0f} s")
