"""The embedded MLflow's own database and files: runs, parameters, metrics. Another MLflow is saved by whoever runs it.

SQLite copies itself page by page while it is used, in both directions.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from app.adapters.object_store import ObjectStore
from app.errors import Unavailable
from cluster.backup.copying import copy_files
from cluster.backup.manifest import ARTIFACTS, RUNS, File, Manifest

DATABASE = "mlflow.db"
_BUSY_S = 30.0
_REVISION = "SELECT version_num FROM alembic_version"


def save(home: Path, backup: ObjectStore, *, on_bytes: Callable[[int], None]) -> dict[str, File]:
    """`home` is MLflow's folder in VAR."""
    artifacts = ObjectStore((home / "artifacts").resolve().as_uri())
    files = copy_files(
        artifacts, backup, {name: f"{ARTIFACTS}/{name}" for name in artifacts.files("")}, on_bytes=on_bytes
    )
    with TemporaryDirectory() as work:
        _copy(home / DATABASE, Path(work) / DATABASE)
        here = ObjectStore(Path(work).resolve().as_uri())
        return files | copy_files(here, backup, {DATABASE: RUNS}, on_bytes=on_bytes)


def bring_back(home: Path, backup: ObjectStore, manifest: Manifest, *, on_bytes: Callable[[int], None]) -> str | None:
    """What was left out, and why; None where everything came back."""
    with TemporaryDirectory() as work:
        there = Path(work) / DATABASE
        copy_files(backup, ObjectStore(Path(work).resolve().as_uri()), {RUNS: DATABASE}, on_bytes=on_bytes)
        saved, present = _revision(there), _revision(home / DATABASE)
        if saved != present:
            return (
                f"MLflow's runs are of its schema {saved}, and the MLflow here has {present}: they stay in the backup, "
                f"as {RUNS}; releases are registered all the same"
            )
        _copy(there, home / DATABASE)
    artifacts = ObjectStore((home / "artifacts").resolve().as_uri())
    names = {path: path.removeprefix(f"{ARTIFACTS}/") for path in manifest.below(ARTIFACTS)}
    copy_files(backup, artifacts, names, on_bytes=on_bytes)
    return None


def _copy(source: Path, target: Path) -> None:
    try:
        with (
            closing(sqlite3.connect(source, timeout=_BUSY_S)) as read,
            closing(sqlite3.connect(target, timeout=_BUSY_S)) as written,
        ):
            read.backup(written)
    except sqlite3.Error as exc:
        raise Unavailable("MLflow's database", f"{target}: {exc}") from exc


def _revision(database: Path) -> str:
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_S)) as connection:
            (revision,) = connection.execute(_REVISION).fetchone()
            return str(revision)
    except sqlite3.Error as exc:
        raise Unavailable("MLflow's database", f"{database}: {exc}") from exc
