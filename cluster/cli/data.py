"""`learnrec data`: data sets into the stack, from files or from a generated world."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.settings import Settings, load_settings

if TYPE_CHECKING:
    from jobs.world.world import World

data_app = typer.Typer(help="Import a data set, or generate one.", no_args_is_help=True)


class Format(StrEnum):
    """The formats of `jobs.imports.mapping.FORMATS`; told here so that help needs no import of them."""

    MARS = "mars"
    MOVIELENS = "movielens"
    CSV = "csv"
    JSONL = "jsonl"


class FileKind(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


@data_app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A folder, or one file; .gz is unpacked on the way.")],
    format_: Annotated[Format, typer.Option("--format", help="What the files look like.")],
    mapping: Annotated[
        Path | None, typer.Option(help="TOML that says what the columns of csv files mean; see docs/data.md.")
    ] = None,
) -> None:
    """Take in contents, learners and events; bad rows go to a reject file under VAR/rejects. Again changes nothing.

    Events go to the event log: `learnrec job run ingest_events` brings them from there to Parquet and PostgreSQL.
    """
    from app.adapters import logs
    from jobs import stores
    from jobs.imports.run import run_import, source_of

    settings = load_settings()
    source = source_of(path, format_.value, mapping)
    rejects = _rejects_path(settings, path)
    with stores.warehouse(settings) as warehouse, logs.event_log(settings) as log:
        done = run_import(source, warehouse=warehouse, log=log, rejects=rejects)
    table = Table("taken in", "rows", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    table.add_row("learners", f"{done.users:,}")
    table.add_row("contents", f"{done.contents:,}")
    table.add_row("events, new", f"{done.events:,}")
    table.add_row("events, stored before", f"{done.events_stored_before:,}")
    for reason, count in done.rejected.most_common():
        table.add_row(f"rejected: {reason}", f"{count:,}")
    console = Console()
    console.print(table)
    if done.rejected:
        console.print(f"rejected rows: {rejects}", soft_wrap=True, highlight=False)


@data_app.command()
def generate(
    learners: Annotated[int, typer.Option(min=1, help="Number of learners.")] = 2000,
    contents: Annotated[int, typer.Option(min=20, max=100_000, help="Number of contents.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same world.")] = 7,
    days: Annotated[int, typer.Option(min=14, help="From the first event to the end.")] = 180,
    end: Annotated[
        datetime | None, typer.Option(help="UTC; nothing happens at or after it. Default: the start of today.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write files to this folder, not to the stack.")] = None,
    kind: Annotated[FileKind, typer.Option(help="Kind of the files of --out.")] = FileKind.CSV,
    split: Annotated[
        Path | None, typer.Option(help="Write a temporal hold-out to this folder (train, test, users, items).")
    ] = None,
) -> None:
    """Make a learning world with a known truth, and load it into the stack, or write it to files."""
    from jobs.progress import steps
    from jobs.world.config import WorldConfig, start_of_today
    from jobs.world.export import write_files, write_split
    from jobs.world.world import make_world

    until = end.replace(tzinfo=UTC) if end else start_of_today()
    config = WorldConfig(num_learners=learners, num_contents=contents, num_days=days, end=until)
    with steps("generate") as advance:
        advance(0, f"a world of {learners:,} learners and {contents:,} contents")
        world = make_world(config, seed)
    console = Console()
    console.print(
        f"{len(world.events):,} events of {learners:,} learners on {contents:,} contents, until {until:%F %R}"
    )
    if out:
        for path in write_files(world, out, kind=kind.value):
            console.print(f"wrote {path}", soft_wrap=True, highlight=False)
    if split:
        num_train, num_test = write_split(world, split)
        console.print(f"wrote {split}: {num_train:,} pairs to train on, {num_test:,} to be found", soft_wrap=True)
    if out is None and split is None:
        _load(world, load_settings())


def _load(world: "World", settings: Settings) -> None:
    from app.adapters import logs
    from jobs import stores
    from jobs.progress import steps
    from jobs.world.export import load_world

    with (
        stores.warehouse(settings) as warehouse,
        logs.event_log(settings) as log,
        steps("load", total=len(world.events)) as advance,
    ):
        sent = load_world(world, warehouse=warehouse, log=log, advance=advance)
    Console().print(f"{sent:,} new events in the event log: `learnrec job run ingest_events` takes them from there")


def _rejects_path(settings: Settings, path: Path) -> Path:
    return settings.var_dir / "rejects" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{path.resolve().stem}.csv"
