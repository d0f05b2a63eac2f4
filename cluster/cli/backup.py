"""`learnrec backup` and `learnrec restore`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.settings import Settings, load_settings

if TYPE_CHECKING:
    from cluster.backup.copying import Tell
    from cluster.backup.manifest import Manifest
    from cluster.backup.save import Source

Target = Annotated[str, typer.Argument(help="A folder, or s3://bucket/prefix?region=…, one for each backup.")]


def backup(
    target: Target,
    verify: Annotated[
        bool, typer.Option("--verify", help="Make none: read the one that is there, and check every file.")
    ] = False,
) -> None:
    """Copy PostgreSQL, the object store and the registry of releases into one folder.

    Milvus and Redis are not copied: `learnrec restore` makes them again. Nor are keys: keep those of `VAR/keys`, or
    LEARNREC_PSEUDONYM_KEYS and LEARNREC_RECEIPT_KEY, elsewhere. Events that wait in the log are not in it either, and
    it says how many: `learnrec job run ingest_events` takes them in first.
    """
    from cluster.backup.copying import store_of
    from cluster.backup.save import check, save

    if not verify and "://" not in target:
        Path(target).expanduser().mkdir(mode=0o700, parents=True, exist_ok=True)  # learners' ids will be in it
    with _progress() as tell:
        made = check(store_of(target), tell) if verify else save(_source(), store_of(target), tell)
    _show(made)
    console = Console(soft_wrap=True, highlight=False)
    if made.waiting:
        console.print(
            f"[yellow]{made.waiting:,} events wait in the log and are not in the backup:[/] run "
            "`learnrec job run ingest_events` before the next one"
        )
    if made.set_aside:
        console.print(
            f"[yellow]{made.set_aside:,} entries were set aside and are not in it:[/] `learnrec events dead list`"
        )
    console.print("every file is as it was made" if verify else f"check it with `learnrec backup --verify {target}`")


def restore(
    target: Target,
    force: Annotated[bool, typer.Option("--force", help="Also where there is something: it goes.")] = False,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Also where the keys of its pseudonyms are lost.")
    ] = False,
    replay: Annotated[
        bool, typer.Option("--replay/--no-replay", help="Bring back what the log has of the time since.")
    ] = True,
) -> None:
    """Bring back what `learnrec backup` saved, after every file was verified.

    Start the stores first (`learnrec up --no-serve`) and the service afterwards (`learnrec up`). Whoever was erased
    or opted out since the backup stays so, as long as the database that is replaced still knows. Cut off, it is run
    again.
    """
    from cluster.backup.copying import store_of
    from cluster.backup.restore import Choice, restore

    with _progress() as tell:
        manifest, notes = restore(
            _source(), store_of(target), Choice(force=force, without_keys=without_keys, replay=replay), tell
        )
    _show(manifest)
    console = Console(soft_wrap=True, highlight=False)
    for note in notes:
        console.print(f"→ {note}")
    console.print("Restored. Start the service: `learnrec up`; look at it: `learnrec doctor`")


def _source() -> "Source":
    from cluster.backup.save import Source

    return Source(load_settings(), mlflow_home=_mlflow_home(load_settings(embedded=False)))


def _mlflow_home(pinned: Settings) -> Path | None:
    """The folder of the MLflow that `learnrec up` runs; None where it is another's."""
    from cluster.backup.mlflow_files import DATABASE
    from cluster.stack.engines.mlflow import MlflowEngine
    from cluster.stack.var import Var

    home = Var(pinned.var_dir.resolve()).home(MlflowEngine)
    return home if pinned.mlflow_uri is None and (home / DATABASE).exists() else None


def _show(manifest: "Manifest") -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    rows = {name: f"{of.rows:,}" for name, of in manifest.tables.items()}
    table.add_row("made (UTC)", manifest.created_at[:19].replace("T", " "))
    table.add_row("production", manifest.production or "no release")
    table.add_row("rows", ", ".join(f"{name} {count}" for name, count in rows.items()))
    table.add_row("files", f"{len(manifest.files):,}, {manifest.num_bytes / 1e6:,.1f} MB")
    table.add_row("keys", f"{', '.join(manifest.pseudonym_keys)} (names; the keys are not in it)")
    Console(soft_wrap=True, highlight=False).print(table)


@contextmanager
def _progress() -> Iterator["Tell"]:
    from cluster.cli.progress import CopyProgress

    with CopyProgress(Console(stderr=True)) as progress:
        yield progress.tell
