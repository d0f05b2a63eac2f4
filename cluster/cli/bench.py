"""`learnrec bench`: our ways timed against named rivals, on this machine, in the same run."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.errors import InvalidInput

bench_app = typer.Typer(no_args_is_help=True, help="Time our ways against named rivals, on this machine.")

SIZES = (1_000_000, 5_000_000)


@bench_app.callback()
def bench() -> None:
    """Time our ways against named rivals, on this machine."""


@bench_app.command()
def features(
    events: Annotated[
        list[int] | None, typer.Option(help="Number of events; may be repeated. 1000000 and 5000000 without it.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder for the events meanwhile; the temporary one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for features.json and logs.")] = Path("var/bench"),
) -> None:
    """Make the features of made-up events: Ray Data against Polars in one process."""
    from cluster.bench.features import compare

    sizes = events or list(SIZES)
    if min(sizes) < 1_000:
        raise InvalidInput(f"--events {min(sizes)}: at least 1000, or there is nothing to measure")
    console = Console(stderr=True, highlight=False)
    result = compare(sizes, work=work, log=out, tell=lambda what: console.print(f"bench: {what}"))
    (out / "features.json").write_text(json.dumps(result, indent=1))
    Console().print(_table(result))
    for name, ratio in result["ratios"].items():
        Console(highlight=False).print(f"{name}: {ratio:.2f}")
    console.print(f"wrote {out / 'features.json'}")


def _table(result: dict[str, Any]) -> Table:
    on = result["machine"]
    table = Table(
        title=f"build_features on {on['cores']} cores, {on['memory_gib']} GiB, load {on['load']} at the start"
    )
    for name in ("events", "way", "seconds", "events/s", "start, s", "peak MiB"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in result["rows"]:
        rate = row["num_events"] / row["seconds"]
        cells = (f"{row['seconds']:.1f}", f"{rate:,.0f}", f"{row['start_s']:.1f}", f"{row['peak_mib']:,.0f}")
        table.add_row(f"{row['num_events']:,}", row["way"], *cells)
    return table
