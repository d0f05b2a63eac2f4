"""Event log → date-partitioned Parquet and PostgreSQL, each event exactly once in effect.

For each batch: journal, Parquet, PostgreSQL (one transaction), commit. A run that dies between any two of them leaves
a log position that is behind; the next run reads the batch again, and then either PostgreSQL has the events, and only
what is new is written, or it has not, and the files are written anew.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
from pydantic import Field

from app.adapters.object_store import ObjectStore
from app.adapters.parquet import write_tables
from app.ports.event_log import EventLog, LogBatch
from app.ports.metadata import Warehouse
from app.settings import Settings
from jobs import stores
from jobs.event_files import EVENTS, Journal, files_by_day, rejected_name, rejected_rows
from jobs.job import JobResult, JobSpec
from jobs.progress import Advance, steps

JOB = "ingest_events"


class Spec(JobSpec):
    """How much is done at a time."""

    batch_size: int = Field(default=50_000, ge=1, le=1_000_000, description="log entries in one transaction")
    group: str = Field(default=JOB, min_length=1, max_length=64, description="whose position in the log is moved")


@dataclass(slots=True)
class Tally:
    """What a run has done so far."""

    entries: int = 0
    stored: int = 0
    repeated: int = 0
    files: int = 0
    recovered_files: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def run(spec: Spec, settings: Settings) -> JobResult:
    """Take in what the log holds. Raises Conflict: another run is at it; Unavailable: a store does not answer."""
    started = time.monotonic()
    with (
        stores.warehouse(settings) as warehouse,
        stores.event_log(settings) as log,
        warehouse.exclusive(JOB),
        steps(JOB, total=log.lag(group=spec.group)) as advance,
    ):
        tally = ingest(log, warehouse, stores.objects(settings), spec=spec, advance=advance)
    return JobResult(JOB, EVENTS, _metrics(tally, time.monotonic() - started))


def ingest(log: EventLog, warehouse: Warehouse, store: ObjectStore, *, spec: Spec, advance: Advance) -> Tally:
    """Batch after batch until the log has less than a batch more."""
    journal, tally = Journal(store, spec.group), Tally()
    tally.recovered_files = journal.recover(warehouse)
    while True:
        batch = log.read(group=spec.group, limit=spec.batch_size)
        if batch.last_position is None:
            break
        _ingest_batch(batch, warehouse, journal, tally)
        log.commit(group=spec.group, position=batch.last_position)
        advance(tally.entries, f"{tally.stored:,} events stored")
        if len(batch.events) + len(batch.bad) < spec.batch_size:
            break
    journal.end()
    return tally


def _ingest_batch(batch: LogBatch, warehouse: Warehouse, journal: Journal, tally: Tally) -> None:
    found = warehouse.new_events(batch.events)
    ids = batch.events.column("event_id").to_pylist()
    position_of = dict(zip(reversed(ids), reversed(batch.positions), strict=True))  # the first of repeats wins
    files: dict[str, pa.Table] = {}
    if len(found.known):
        files = files_by_day(found.known, position_of[found.known.column("event_id")[0].as_py()])
    aside = rejected_rows(found.unknown_content, position_of, batch.bad)
    tally.files += len(files)
    if len(aside):
        files[rejected_name(aside.column("position")[0].as_py())] = aside
    if len(found.known):
        journal.begin(found.known.slice(0, 1), list(files))
    write_tables(journal.store, files)
    tally.stored += warehouse.put_events(found.known)
    tally.entries += len(batch.events) + len(batch.bad)
    tally.repeated += len(batch.events) - len(found.known) - len(found.unknown_content)
    tally.rejected.update(aside.column("reason").to_pylist())


def _metrics(tally: Tally, seconds: float) -> dict[str, float]:
    return {
        "entries": tally.entries,
        "events_stored": tally.stored,
        "events_repeated": tally.repeated,
        "entries_rejected": tally.rejected.total(),
        **{f"rejected: {reason}": count for reason, count in sorted(tally.rejected.items())},
        "files_written": tally.files,
        "files_recovered": tally.recovered_files,
        "entries_per_s": round(tally.entries / seconds, 1),
    }
