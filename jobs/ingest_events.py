"""Event log → date-partitioned Parquet and PostgreSQL, each event exactly once in effect.

For each batch of a partition: journal, Parquet, dead letters, PostgreSQL (one transaction), commit. A run that dies
between any two of them leaves a log position that is behind; the next run reads the batch again, and then either
PostgreSQL has the events, and only what is new is written, or it has not, and the files are written anew.
"""

import gc
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event

import pyarrow as pa
from opentelemetry.trace import SpanKind
from pydantic import Field

from app.adapters import logs
from app.adapters.dead_letters import DeadLetter, DeadLetters
from app.adapters.event_codec import encode_events
from app.adapters.event_log import EventLog, LogBatch
from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.parquet import write_tables
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.adapters.tracing import OFF, Tracing
from app.domain.pseudonyms import PseudonymKey
from app.settings import Settings
from jobs import stores
from jobs.event_files import EVENTS, ORPHAN_S, Journal, files_by_day
from jobs.job import JobResult, JobSpec
from jobs.progress import steps

JOB = "ingest_events"
UNKNOWN_CONTENT = "unknown content_id"
THREADS = 2


class Spec(JobSpec):
    """How much is done at a time."""

    batch_size: int = Field(default=20_000, ge=1, le=1_000_000, description="log entries in one transaction")
    tasks_from: int = Field(
        default=2_000_000, ge=1, description="entries to take in from which tasks of the cluster are worth their start"
    )
    group: str = Field(default=JOB, min_length=1, max_length=64, description="whose position in the log is moved")


@dataclass(slots=True)
class Tally:
    """What has been done."""

    entries: int = 0
    stored: int = 0
    repeated: int = 0
    opted_out: int = 0
    erased: int = 0
    files: int = 0
    recovered_files: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        for name in ("entries", "stored", "repeated", "opted_out", "erased", "files", "recovered_files"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.rejected.update(other.rejected)


@dataclass(frozen=True, slots=True)
class Intake:
    """The stores between which batches go; `group` is whose position in the log is moved."""

    log: EventLog
    dead: DeadLetters
    warehouse: PostgresWarehouse
    store: ObjectStore
    group: str
    key: PseudonymKey  # under which Parquet names learners
    tracing: Tracing = OFF

    def batch(self, partition: str, limit: int) -> Tally:
        """Take in up to `limit` entries more of a partition; a tally without entries where there are none."""
        name = f"{self.group}-{partition}"
        journal = Journal(self.store, name)
        with self.warehouse.exclusive(name, wait_s=ORPHAN_S):
            recovered = journal.recover(self.warehouse)
            batch = self.log.read(group=self.group, partition=partition, limit=limit)
            if batch.last_position is None:
                return Tally(recovered_files=recovered)
            with self.tracing.consumed("ingest events", batch.traces):
                tally = self._take(batch, journal)
                tally.recovered_files = recovered
                self.log.commit(group=self.group, partition=partition, position=batch.last_position)
            journal.end()
        return tally

    def _take(self, batch: LogBatch, journal: Journal) -> Tally:
        found = self.warehouse.new_events(batch.events)
        ids = batch.events.column("event_id").to_pylist()
        position_of = dict(zip(reversed(ids), reversed(batch.positions), strict=True))  # the first of repeats wins
        files: dict[str, pa.Table] = {}
        if len(found.known):
            kept = self.key.of_column(found.known)
            files = files_by_day(kept, position_of[kept.column("event_id")[0].as_py()])
            journal.begin(kept.slice(0, 1), list(files))
        with self.tracing.child("parquet"):
            write_tables(self.store, files)
        letters = [*_on_unknown_contents(found.unknown_content, position_of), *_unreadable(batch)]
        self.dead.put(letters)
        with self.tracing.child("postgres", kind=SpanKind.CLIENT, attributes={"db.system.name": "postgresql"}):
            stored = self.warehouse.put_events(found.known)
        return Tally(
            entries=len(batch),
            stored=stored,
            repeated=len(batch.events) - len(found),
            opted_out=found.num_opted_out,
            erased=found.num_erased,
            files=len(files),
            rejected=Counter(letter.reason for letter in letters),
        )


@contextmanager
def rare_collections() -> Iterator[None]:
    """Batches are a hundred thousand small objects and no cycles: to look for cycles among them costs a third."""
    before = gc.get_threshold()
    gc.set_threshold(300_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def open_intake(settings: Settings, group: str) -> Iterator[Intake]:
    """Raises Unavailable: a store does not answer."""
    with (
        stores.warehouse(settings) as warehouse,
        logs.event_log(settings) as log,
        logs.dead_letters(settings) as dead,
    ):
        tracing = Tracing.of(settings, service="learnrec-ingest")
        try:
            yield Intake(log, dead, warehouse, stores.objects(settings), group, load_keyring(settings).current, tracing)
        finally:
            tracing.close()


def run(spec: Spec, settings: Settings) -> JobResult:
    """Take in what the log holds. Raises Conflict: another run is at it; Unavailable: a store does not answer."""
    started, tally = time.monotonic(), Tally()
    with open_intake(settings, spec.group) as intake, stores.warehouse(settings) as lock, lock.exclusive(JOB):
        lags = intake.log.lag(group=spec.group)
        with rare_collections(), steps(JOB, total=sum(lags.values())) as advance:
            for part in _parts(intake, lags, spec, settings):
                tally.add(part)
                advance(tally.entries, f"{tally.stored:,} events stored")
    return JobResult(JOB, EVENTS, _metrics(tally, time.monotonic() - started))


def ingest(intake: Intake, partitions: Iterable[str], *, batch_size: int) -> Iterator[Tally]:
    """Partition after partition, batch after batch, until the log has less than a batch more."""
    for partition in partitions:
        entries = batch_size
        while entries == batch_size:
            tally = intake.batch(partition, batch_size)
            entries = tally.entries
            yield tally


def one_batch(partition: str, spec: Spec, settings: Settings) -> Tally:
    """What a task of the cluster does."""
    with rare_collections(), open_intake(settings, spec.group) as intake:
        return intake.batch(partition, spec.batch_size)


def _parts(intake: Intake, lags: Mapping[str, int], spec: Spec, settings: Settings) -> Iterator[Tally]:
    """Side by side where several partitions hold more than a batch: on threads, or by tasks of a cluster."""
    partitions = [partition for partition, lag in lags.items() if lag]
    total = sum(lags.values())
    if len(partitions) <= 1 or total <= spec.batch_size:
        yield from ingest(intake, lags, batch_size=spec.batch_size)
    elif total < spec.tasks_from:
        yield from _on_threads(partitions, spec, settings)
    else:
        from jobs.ray_session import ray_session, while_busy

        with ray_session(settings):
            yield from while_busy(lambda tally: tally.entries == spec.batch_size, one_batch, lags, spec, settings)


def _on_threads(partitions: Iterable[str], spec: Spec, settings: Settings) -> Iterator[Tally]:
    """One reads and decodes while PostgreSQL stores what another has read. Raises what the first of them raised."""
    to_do: SimpleQueue[str] = SimpleQueue()
    told: SimpleQueue[Tally | None] = SimpleQueue()
    ended = Event()
    for partition in partitions:
        to_do.put(partition)

    def work() -> None:
        try:
            with open_intake(settings, spec.group) as intake, suppress(Empty):
                while not ended.is_set():
                    for tally in ingest(intake, [to_do.get_nowait()], batch_size=spec.batch_size):
                        told.put(tally)
                        if ended.is_set():
                            return
        finally:
            told.put(None)

    with ThreadPoolExecutor(THREADS) as pool:
        workers = [pool.submit(work) for _ in range(THREADS)]
        try:
            for _ in workers:
                yield from iter(told.get, None)
        finally:
            ended.set()
    for worker in workers:
        worker.result()


def _on_unknown_contents(events: pa.Table, position_of: Mapping[str, str]) -> list[DeadLetter]:
    ids, learners = (events.column(name).to_pylist() for name in ("event_id", "user_id"))
    return [
        DeadLetter(position_of[event_id], UNKNOWN_CONTENT, value, key=user_id)
        for event_id, user_id, value in zip(ids, learners, encode_events(events), strict=True)
    ]


def _unreadable(batch: LogBatch) -> list[DeadLetter]:
    return [DeadLetter(entry.position, entry.reason, entry.value) for entry in batch.bad]


def _metrics(tally: Tally, seconds: float) -> dict[str, float]:
    return {
        "entries": tally.entries,
        "events_stored": tally.stored,
        "events_repeated": tally.repeated,
        "events_of_opted_out": tally.opted_out,
        "events_of_erased": tally.erased,
        "entries_rejected": tally.rejected.total(),
        **{f"rejected: {reason}": count for reason, count in sorted(tally.rejected.items())},
        "files_written": tally.files,
        "files_recovered": tally.recovered_files,
        "entries_per_s": round(tally.entries / seconds, 1),
    }
