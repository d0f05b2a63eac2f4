"""What a backup says of itself: `manifest.json`, written last, so that a folder without one is no backup."""

import json
from datetime import date
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from app.adapters.object_store import ObjectStore
from app.adapters.postgres.migrations import known_revisions
from app.errors import Conflict, NotFound

MANIFEST = "manifest.json"
VERSION = 1

TABLES, OBJECTS, ARTIFACTS = "postgres", "objects", "mlflow/artifacts"
REGISTRY, RUNS = "registry.json", "mlflow/mlflow.db"
"""Folders and files of a backup, beside its manifest."""

BUCKETS = ("learning-events", "learning-features", "learning-models")
"""Folders of the object store that are copied; what else lies there is somebody else's."""


class File(BaseModel):
    """One file of the backup."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int
    sha256: str


class Table(BaseModel):
    """One table, in `postgres/NAME.csv.zst`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: tuple[str, ...]
    rows: int


def _inside(path: str) -> str:
    """A backup may come from anywhere: none of its files is written outside of what is restored."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} leads out of the backup")
    return path


class Manifest(BaseModel):
    """Version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = VERSION
    backup_id: str
    created_at: str  # ISO 8601, UTC
    learnrec: str  # its version
    revision: str  # of the database's schema
    production: str | None  # release ids
    staging: str | None
    pseudonym_keys: tuple[str, ...]  # names of the keys, newest first; the keys themselves are kept elsewhere
    receipt_key: str  # SHA-256 of the public key that checks receipts
    waiting: int  # events of the log that were not taken in, and are not here
    set_aside: int  # dead letters, which are not here either
    tables: dict[str, Table]
    months: tuple[date, ...]  # of events
    sequences: dict[str, int]
    files: dict[Annotated[str, AfterValidator(_inside)], File]

    @property
    def num_bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())

    def below(self, folder: str) -> dict[str, File]:
        """The files of a folder, by their paths in the backup."""
        return {path: file for path, file in self.files.items() if path.startswith(f"{folder}/")}


def table_path(name: str) -> str:
    return f"{TABLES}/{name}.csv.zst"


def read_manifest(backup: ObjectStore) -> Manifest:
    """Raises NotFound: there is no backup, or half of one; Conflict: it is not for this learnrec."""
    try:
        told = backup.read_json(MANIFEST)
    except NotFound as exc:
        raise NotFound(
            f"{backup.uri('')} holds no backup: no {MANIFEST}, which is written last; "
            "name the folder that `learnrec backup` was given, or make the backup again"
        ) from exc
    except json.JSONDecodeError as exc:
        raise Conflict(f"{backup.uri(MANIFEST)} is no JSON ({exc}): take another backup") from exc
    version = told.get("version") if isinstance(told, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise Conflict(f"the backup has format {version}, and this learnrec reads up to {VERSION}: take a newer one")
    try:
        manifest = Manifest.model_validate(told)
    except ValidationError as exc:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()[:3])
        raise Conflict(f"{backup.uri(MANIFEST)} is not one of ours ({faults}): take another backup") from exc
    if manifest.revision not in known_revisions():
        raise Conflict(
            f"the backup has schema {manifest.revision}, of learnrec {manifest.learnrec}, and this learnrec knows "
            f"schemas up to {known_revisions()[0]}: restore with that version or a newer one"
        )
    return manifest
