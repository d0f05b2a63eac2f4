"""Bring a backup back: everything is verified before anything is touched, and what was cut off is simply done again.

PostgreSQL changes in one transaction, in which what learners asked for since the backup is kept. What is in the way
goes, and at the end the log gives back what it still has of the time since.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from alembic.util import CommandError
from psycopg import sql

from app.adapters.keyring import load_keyring
from app.adapters.mlflow_registry import RegistryState
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.dump import load, set_sequences
from app.adapters.postgres.errors import translated
from app.adapters.postgres.migrations import SchemaChange, schema_change
from app.adapters.postgres.partitions import ensure_months
from app.adapters.postgres.wishes import keep_wishes, read_wishes
from app.adapters.receipts import Receipts
from app.domain.pseudonyms import Keyring
from app.errors import Conflict, NotFound
from app.settings import Settings
from cluster.backup import mlflow_files
from cluster.backup.copying import BLOCK, Progress, Tell, copy_files, uncompressed
from cluster.backup.manifest import BUCKETS, OBJECTS, REGISTRY, RUNS, TABLES, Manifest, table_path
from cluster.backup.save import Source, check
from jobs import erase_learners, replay_events, stores
from jobs.ingest_events import JOB as INGEST
from jobs.rebuild_index import rebuild_index
from jobs.releases import registry

RESTORE = "restore.json"
"""In the object store: which backup was brought back there last, and when that ended, if it did."""

WAIT_S = 600.0
ROWS = ("users", "contents", "events", "completions")
"""Tables that say whether a database is in use: the others fill by themselves."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What whoever restores has to say."""

    force: bool = False  # what is there goes
    without_keys: bool = False  # nobody has the keys of the backup's pseudonyms any more
    replay: bool = True  # what the log has of the time since the backup


def restore(target: Source, backup: ObjectStore, choice: Choice, tell: Tell) -> tuple[Manifest, list[str]]:
    """What was restored, and what whoever restores should know.

    Raises NotFound: there is no backup; Conflict: it is not whole, or not for this learnrec, its keys are missing, or
    the target is in use: nothing was touched then. Unavailable: a store does not answer; run it again.
    """
    settings = target.settings
    manifest = check(backup, tell)
    ring = load_keyring(settings)
    notes = _require_keys(manifest, ring, settings, needed=not choice.without_keys)
    _require_room(settings, manifest, force=choice.force)
    store = stores.objects(settings)
    store.write_json(RESTORE, {"backup_id": manifest.backup_id, "ended_at": None})
    with stores.warehouse(settings) as lock, lock.exclusive(INGEST, wait_s=WAIT_S):
        kept = _restore_tables(settings, manifest, backup, tell)
        _restore_objects(store, manifest, backup, tell)
        notes += _restore_registry(target, manifest, backup, tell)
    if manifest.production:
        rebuild_index(settings, tell=lambda release: tell(f"index {release.release_id}", 0, 0))
    notes += _catch_up(settings, manifest, kept, choice)
    store.write_json(RESTORE, {"backup_id": manifest.backup_id, "ended_at": datetime.now(UTC).isoformat()})
    return manifest, notes


def _require_keys(manifest: Manifest, ring: Keyring, settings: Settings, *, needed: bool) -> list[str]:
    """Raises Conflict: learners could not be found in what is brought back."""
    notes = []
    if missing := [name for name in manifest.pseudonym_keys if ring.named(name) is None]:
        told = f"the keys in use ({', '.join(key.name for key in ring.keys)}) lack {', '.join(missing)} of the backup"
        if needed:
            raise Conflict(
                f"{told}: its releases and Parquet would know nobody, and who was erased could not be told. Put the "
                f"keys that were kept apart into {settings.pseudonym_keys_path} or LEARNREC_PSEUDONYM_KEYS, newest "
                "first. Only where they are lost: `--without-keys`"
            )
        notes.append(f"{told}: until the next training every learner is a stranger to the releases")
    if hashlib.sha256(Receipts(settings).public_pem.encode()).hexdigest() != manifest.receipt_key:
        notes.append(
            "the key of receipts is another one: receipts from before are checked by `learnrec privacy verify --key`"
        )
    return notes


def _require_room(settings: Settings, manifest: Manifest, *, force: bool) -> None:
    """Raises Conflict with what is there, unless that is what an interrupted restore of this backup left."""
    store = stores.objects(settings)
    if force or _under_way(store) == manifest.backup_id:
        return
    there = []
    with translated(), psycopg.connect(settings.need("postgres_url")) as connection:
        if used := [name for name in ROWS if _has_rows(connection, name)]:
            there.append(f"PostgreSQL has {', '.join(used)}")
    if num_files := sum(len(store.files(bucket)) for bucket in BUCKETS):
        there.append(f"the object store has {num_files:,} files")
    with registry(settings) as known:
        if releases := known.manifests():
            there.append(f"MLflow has {len(releases)} releases")
    if there:
        raise Conflict(
            f"there is something where the backup would go: {'; '.join(there)}. `--force` puts the backup in its place"
        )


def _under_way(store: ObjectStore) -> str | None:
    """The backup whose restore was begun here and has not ended."""
    try:
        last = store.read_json(RESTORE)
    except NotFound:
        return None
    return None if last["ended_at"] else str(last["backup_id"])


def _has_rows(connection: psycopg.Connection[Any], table: str) -> bool:
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"public.{table}"]).fetchone()
    if not (found and found[0]):
        return False
    row = connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table))).fetchone()
    return bool(row and row[0])


def _restore_tables(settings: Settings, manifest: Manifest, backup: ObjectStore, tell: Tell) -> dict[str, int]:
    """All in one transaction; counts of the wishes that outlasted it."""
    ring = load_keyring(settings)
    progress = Progress(tell, "PostgreSQL", sum(file.bytes for file in manifest.below(TABLES).values()))
    with schema_change(settings.need("postgres_url")) as schema, translated():
        schema.rows.execute("SET LOCAL lock_timeout = '60s'")
        wishes = read_wishes(schema.rows)
        _make_schema(schema, manifest)
        ensure_months(schema.rows, manifest.months)
        for name, table in manifest.tables.items():
            with backup.reading(table_path(name)) as stream:
                rows = uncompressed(stream)
                loaded = load(schema.rows, name, table.columns, lambda rows=rows: rows.read(BLOCK))
            if loaded != table.rows:
                raise Conflict(
                    f"{loaded:,} rows of {name} arrived of {table.rows:,}: nothing of PostgreSQL was changed"
                )
            progress.add(manifest.files[table_path(name)].bytes)
        set_sequences(schema.rows, manifest.sequences)
        schema.make()
        return keep_wishes(schema.rows, wishes, ring)


def _make_schema(schema: SchemaChange, manifest: Manifest) -> None:
    """Raises Conflict: the database is of a newer learnrec, or the backup has more tables than its schema."""
    try:
        schema.remove()
    except CommandError as exc:
        raise Conflict(f"the database is of a newer learnrec ({exc}): restore with that version") from exc
    schema.make(manifest.revision)
    made = {name for (name,) in schema.rows.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    if unknown := manifest.tables.keys() - made:
        raise Conflict(f"the backup has tables that are not learnrec's: {', '.join(sorted(unknown))}")


def _restore_objects(store: ObjectStore, manifest: Manifest, backup: ObjectStore, tell: Tell) -> None:
    files = manifest.below(OBJECTS)
    names = {path: path.removeprefix(f"{OBJECTS}/") for path in files}
    progress = Progress(tell, "objects", sum(file.bytes for file in files.values()))
    copy_files(backup, store, names, on_bytes=progress.add)
    wanted = set(names.values())
    for bucket in BUCKETS:
        for name in store.files(bucket):
            if f"{bucket}/{name}" not in wanted:
                store.delete(f"{bucket}/{name}")


def _restore_registry(target: Source, manifest: Manifest, backup: ObjectStore, tell: Tell) -> list[str]:
    notes = []
    if target.mlflow_home and RUNS in manifest.files:
        on_bytes = Progress(tell, "MLflow", 0).add
        left_out = mlflow_files.bring_back(target.mlflow_home, backup, manifest, on_bytes=on_bytes)
        notes += [left_out] if left_out else []
    elif not target.mlflow_home:
        notes.append("runs are of the MLflow that LEARNREC_MLFLOW_URI names, and come back with its own database")
    with registry(target.settings) as known:
        known.restore(RegistryState.model_validate_json(backup.read(REGISTRY)))
    return notes


def _catch_up(settings: Settings, manifest: Manifest, kept: dict[str, int], choice: Choice) -> list[str]:
    """Erasures since the backup are done again, then the log gives back what came since."""
    notes = [
        f"{count:,} {name.replace('_', ' ')}, known here since the backup" for name, count in kept.items() if count
    ]
    erased = int(erase_learners.run(erase_learners.Spec(), settings).metrics["learners"])
    if erased:
        notes.append(f"{erased:,} learners were taken out of what came back")
    if choice.replay:
        counts = replay_events.run(replay_events.Spec(), settings).metrics
        notes.append(
            f"the log had {counts['entries']:,.0f} entries, and {counts['to_postgresql']:,.0f} events that were missing"
        )
    notes.append(f"erasures asked for since {manifest.created_at} that were not noted here must be asked for again")
    return notes
