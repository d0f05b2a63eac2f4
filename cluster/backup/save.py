"""Make a backup: the registry, PostgreSQL as of one moment, the object store; at last the manifest that makes it one.

In this order: whatever the registry names is in the object store already, and what comes there later does no harm.
Events are not taken in meanwhile, nor learners erased: they wait.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

from app.adapters import logs
from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.dump import Contents, PostgresDump
from app.adapters.receipts import Receipts
from app.adapters.release_files import RELEASES
from app.domain.releases import MANIFEST as RELEASE_MANIFEST
from app.domain.releases import PRODUCTION, STAGING
from app.errors import Conflict
from app.settings import Settings
from cluster.backup import mlflow_files
from cluster.backup.copying import Progress, Tell, compressed, copy_files, hashed, verify
from cluster.backup.manifest import (
    ARTIFACTS,
    BUCKETS,
    MANIFEST,
    OBJECTS,
    REGISTRY,
    TABLES,
    File,
    Manifest,
    Table,
    read_manifest,
    table_path,
)
from jobs import stores
from jobs.ingest_events import JOB as INGEST
from jobs.releases import registry

OURS = (TABLES, OBJECTS, ARTIFACTS.partition("/")[0])
WAIT_S = 600.0
"""For which events that are being taken in are waited for."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be saved. `mlflow_home` is the folder of an MLflow of ours; None: it keeps its runs elsewhere."""

    settings: Settings
    mlflow_home: Path | None


def save(source: Source, backup: ObjectStore, tell: Tell) -> Manifest:
    """Into an empty folder, or one with half of a backup.

    Raises Conflict: the folder has something else, or events are being taken in for minutes; Unavailable: a store
    does not answer.
    """
    settings = source.settings
    _require_room(backup)
    ring, receipts = load_keyring(settings), Receipts(settings)
    with stores.warehouse(settings) as lock, lock.exclusive(INGEST, wait_s=WAIT_S):
        with registry(settings) as known:
            state = known.state()
        files = {REGISTRY: _write(backup, REGISTRY, state.model_dump_json(indent=1).encode())}
        if source.mlflow_home:
            files |= mlflow_files.save(source.mlflow_home, backup, on_bytes=Progress(tell, "MLflow", 0).add)
        with PostgresDump(settings.need("postgres_url")) as dump:
            contents = dump.contents()
            tables, of_tables = _save_tables(dump, contents, backup, tell)
        waiting, set_aside = _left_out(settings)
        files |= of_tables | _save_objects(stores.objects(settings), backup, tell)
    manifest = Manifest(
        backup_id=uuid4().hex,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        learnrec=version("learnrec"),
        revision=contents.revision,
        production=state.aliases.get(PRODUCTION),
        staging=state.aliases.get(STAGING),
        pseudonym_keys=tuple(key.name for key in ring.keys),
        receipt_key=hashlib.sha256(receipts.public_pem.encode()).hexdigest(),
        waiting=waiting,
        set_aside=set_aside,
        tables=tables,
        months=contents.months,
        sequences=dict(contents.sequences),
        files=dict(sorted(files.items())),
    )
    _require_releases(manifest)
    backup.write(MANIFEST, manifest.model_dump_json(indent=1).encode())
    return manifest


def check(backup: ObjectStore, tell: Tell) -> Manifest:
    """The manifest of a backup that is as it was made. Raises NotFound; Conflict with what is wrong."""
    manifest = read_manifest(backup)
    verify(backup, manifest, tell)
    return manifest


def _require_room(backup: ObjectStore) -> None:
    """Half of a backup, of one that was killed, makes room; nothing else does."""
    there = [name for name in backup.files("") if not name.startswith(".")]
    if MANIFEST in there:
        raise Conflict(f"{backup.uri('')} holds a backup already: name another folder, one for each backup")
    if foreign := [name for name in there if name.partition("/")[0] not in (*OURS, REGISTRY)]:
        raise Conflict(f"{backup.uri('')} is not empty ({foreign[0]}, …): name a folder of its own")
    for folder in OURS:
        backup.remove(folder)


def _save_tables(
    dump: PostgresDump, contents: Contents, backup: ObjectStore, tell: Tell
) -> tuple[dict[str, Table], dict[str, File]]:
    tables, files, progress = dict[str, Table](), dict[str, File](), Progress(tell, "PostgreSQL", 0)
    for name, columns in contents.tables.items():
        with hashed(backup, table_path(name)) as sink:
            stream = compressed(sink)

            def write(block: bytes, into: object = stream) -> None:
                into.write(block)  # pyright: ignore[reportAttributeAccessIssue]  # pyarrow has no stubs
                progress.add(len(block))

            rows = dump.copy(name, columns, write)
            stream.close()
        tables[name] = Table(columns=columns, rows=rows)
        files[table_path(name)] = sink.file
    return tables, files


def _save_objects(store: ObjectStore, backup: ObjectStore, tell: Tell) -> dict[str, File]:
    sizes = {f"{bucket}/{name}": size for bucket in BUCKETS for name, size in store.files(bucket).items()}
    progress = Progress(tell, "objects", sum(sizes.values()))
    return copy_files(store, backup, {name: f"{OBJECTS}/{name}" for name in sizes}, on_bytes=progress.add)


def _left_out(settings: Settings) -> tuple[int, int]:
    """Events that wait in the log, and letters that were set aside: neither is in the backup."""
    with logs.event_log(settings) as log, logs.dead_letters(settings) as dead:
        return sum(log.lag(group=INGEST).values()), sum(1 for _ in dead.waiting())


def _write(backup: ObjectStore, path: str, data: bytes) -> File:
    backup.write(path, data)
    return File(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _require_releases(manifest: Manifest) -> None:
    """Raises Conflict: a release that is served, or is to be, has no files."""
    for release_id in {manifest.production, manifest.staging} - {None}:
        path = f"{OBJECTS}/{RELEASES}/{release_id}/{RELEASE_MANIFEST}"
        if path not in manifest.files:
            raise Conflict(
                f"release {release_id} has no files in the object store, and a backup without them cannot serve: "
                "promote or stage another (`learnrec release list`), then make the backup again"
            )
