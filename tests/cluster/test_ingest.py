"""Whatever happens while events are taken in: each is in Parquet once and in PostgreSQL once."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import redis

from app.adapters.object_store import ObjectStore
from app.adapters.parquet import read_tables
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.adapters.redis_log import STREAM, RedisEventLog
from app.errors import Conflict, Unavailable
from app.settings import Settings, child_environment
from jobs.event_files import EVENTS, REJECTED, REJECTED_SCHEMA
from jobs.ingest_events import Spec, Tally, ingest, run
from tests import rows

CONTENTS = [f"content {i}" for i in range(20)]
JOB = [sys.executable, "-m", "jobs", "ingest_events"]


class PowerCut(BaseException):
    """The process ends here."""


@dataclass
class Stack:
    settings: Settings
    postgres_url: str

    def log(self) -> RedisEventLog:
        return RedisEventLog(self.settings.need("redis_url"))

    def append(self, events: pa.Table) -> None:
        with self.log() as log:
            log.append(events)

    def know(self, contents: list[str]) -> None:
        with PostgresWarehouse(self.postgres_url) as warehouse:
            warehouse.put_contents(rows.contents(contents))

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.settings.object_store_uri)

    def in_parquet(self) -> Counter[str]:
        names = [f"{EVENTS}/{name}" for name in self.store.files(EVENTS)]
        return Counter(read_tables(self.store, names).column("event_id").to_pylist() if names else [])

    def in_postgres(self) -> Counter[str]:
        with psycopg.connect(self.postgres_url) as connection:
            return Counter(str(i) for (i,) in connection.execute("SELECT event_id FROM events"))

    def rejected(self) -> pa.Table:
        names = [f"{REJECTED}/{name}" for name in self.store.files(REJECTED)]
        return read_tables(self.store, names) if names else REJECTED_SCHEMA.empty_table()


@pytest.fixture
def stack(clean_postgres: str, clean_redis: str, tmp_path: Path) -> Stack:
    settings = Settings(
        var_dir=tmp_path / "var",
        postgres_url=clean_postgres,
        redis_url=clean_redis,
        object_store=(tmp_path / "o").as_uri(),
    )
    stack = Stack(settings, clean_postgres)
    stack.know(CONTENTS)
    return stack


def many(n: int, *, seed: int = 0) -> pa.Table:
    """Events over some days, in no order of time."""
    rng = random.Random(seed)
    parts = [
        rows.events(
            [f"user {rng.randrange(30)}"],
            [rng.choice(CONTENTS)],
            start=rows.START + timedelta(seconds=rng.randrange(86_400 * 3), microseconds=i),
        )
        for i in range(n)
    ]
    return pa.concat_tables(parts)


def once(events: pa.Table) -> Counter[str]:
    return Counter(events.column("event_id").to_pylist())


def test_events_lie_by_day_of_event_time_and_in_postgresql(stack: Stack) -> None:
    events = many(200)
    stack.append(events)

    result = run(Spec(), stack.settings)

    assert result.metrics["events_stored"] == 200
    assert stack.in_parquet() == stack.in_postgres() == once(events)
    for name in stack.store.files(EVENTS):
        year, month, day, _ = name.split("/")
        found = read_tables(stack.store, [f"{EVENTS}/{name}"])
        assert found.schema.equals(events.schema)
        assert {f"year={ts:%Y}/month={ts:%m}/day={ts:%d}" for ts in found.column("ts").to_pylist()} == {
            f"{year}/{month}/{day}"
        }


def test_an_empty_log_is_nothing_to_do(stack: Stack) -> None:
    assert run(Spec(), stack.settings).metrics["entries"] == 0


def test_repeats_in_the_log_are_stored_once(stack: Stack) -> None:
    events = many(50)
    stack.append(pa.concat_tables([events, events]))
    run(Spec(batch_size=30), stack.settings)
    stack.append(events)

    metrics = run(Spec(), stack.settings).metrics

    assert (metrics["events_stored"], metrics["events_repeated"]) == (0, 50)
    assert stack.in_parquet() == stack.in_postgres() == once(events)


def test_bad_entries_and_unknown_contents_are_set_aside_with_the_reason(stack: Stack) -> None:
    good, lost = many(5), rows.events(["a"], ["never heard of"])
    stack.append(pa.concat_tables([good.slice(0, 3), lost, good.slice(3)]))
    with redis.Redis.from_url(stack.settings.need("redis_url")) as client:
        client.xadd(STREAM, {"e": "poison"})

    metrics = run(Spec(), stack.settings).metrics

    assert stack.in_parquet() == stack.in_postgres() == once(good)
    assert (metrics["rejected: unknown content_id"], metrics["rejected: no JSON"]) == (1, 1)
    aside = stack.rejected()
    assert aside.column("reason").to_pylist() == ["unknown content_id", "no JSON"]
    assert aside.column("event_id").to_pylist() == [lost.column("event_id")[0].as_py(), None]


def test_a_new_learner_becomes_known(stack: Stack) -> None:
    stack.append(rows.events(["newcomer"], [CONTENTS[0]]))

    run(Spec(), stack.settings)

    with PostgresWarehouse(stack.postgres_url) as warehouse:
        assert warehouse.read("users").column("user_id").to_pylist() == rows.ids(["newcomer"])


class FailingWarehouse(PostgresWarehouse):
    """The real one; the power goes before or after the events are stored."""

    after = False

    def put_events(self, events: pa.Table) -> int:
        if self.after:
            super().put_events(events)
        raise PowerCut


class FailingLog(RedisEventLog):
    def commit(self, *, group: str, position: str) -> None:
        raise PowerCut


class FailingStore(ObjectStore):
    """The power goes at the n-th file, the journal's being the first."""

    writes_left = 0

    def write(self, relative: str, data: bytes) -> None:
        if self.writes_left == 0:
            raise PowerCut
        self.writes_left -= 1
        super().write(relative, data)


def attempt(stack: Stack, crash: str, *, batch_size: int) -> Tally | None:
    """One run that ends where `crash` says, or well."""
    warehouse_kind = FailingWarehouse if crash in ("before postgresql", "after postgresql") else PostgresWarehouse
    log_kind = FailingLog if crash == "before commit" else RedisEventLog
    store: ObjectStore = stack.store
    if crash.startswith("write "):
        store = FailingStore(stack.settings.object_store_uri)
        store.writes_left = int(crash.split()[1])
    with warehouse_kind(stack.postgres_url) as warehouse, log_kind(stack.settings.need("redis_url")) as log:
        if isinstance(warehouse, FailingWarehouse):
            warehouse.after = crash == "after postgresql"
        try:
            return ingest(log, warehouse, store, spec=Spec(batch_size=batch_size), advance=lambda *_: None)
        except PowerCut:
            return None


STEPS = ["write 0", "write 1", "write 3", "before postgresql", "after postgresql", "before commit"]


@pytest.mark.parametrize("next_batch", [25, 60, 1000])
@pytest.mark.parametrize("crash", STEPS)
def test_a_crash_at_any_step_loses_and_doubles_nothing(stack: Stack, crash: str, next_batch: int) -> None:
    first, late, more = many(60, seed=1), rows.events(["a"] * 3, ["late"] * 3), many(30, seed=2)
    stack.append(pa.concat_tables([late.slice(0, 1), first, late.slice(1)]))
    assert attempt(stack, crash, batch_size=50) is None
    stack.append(more)
    if next_batch == 60:
        stack.know(["late"])  # what was to be set aside is welcome now, also the very first event

    assert attempt(stack, "", batch_size=next_batch) is not None

    welcome = late if next_batch == 60 and crash not in ("after postgresql", "before commit") else late.slice(0, 0)
    stored = stack.in_postgres()
    assert stack.in_parquet() == stored
    assert once(pa.concat_tables([first, more])) <= stored
    assert set(stored.values()) == {1}
    assert once(welcome) <= stored
    aside = Counter(stack.rejected().column("event_id").to_pylist())
    assert set(once(late)) <= set(stored) | set(aside)
    with stack.log() as log:
        assert log.lag(group="ingest_events") == 0


def test_killed_at_random_moments_it_still_loses_and_doubles_nothing(stack: Stack) -> None:
    events = many(1500)
    stack.append(events)
    rng, kills = random.Random(7), 0
    while kills < 2:
        before, done = sum(stack.in_postgres().values()), len(events)
        process = subprocess.Popen(
            [*JOB, "--set", "batch_size=15"],
            env=child_environment(stack.settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: before < sum(stack.in_postgres().values()) or process.poll() is not None)  # noqa: B023  # called at once
            time.sleep(rng.random() * 0.2)  # the moment is the point
        finally:
            process.kill()
            process.wait(timeout=20)
        kills += 1
        if sum(stack.in_postgres().values()) == done:
            break

    run(Spec(), stack.settings)

    assert kills >= 2
    assert stack.in_parquet() == stack.in_postgres() == once(events)


def test_two_runs_at_once_do_not_mix(stack: Stack) -> None:
    with (
        PostgresWarehouse(stack.postgres_url) as other,
        other.exclusive("ingest_events"),
        pytest.raises(Conflict, match="running already"),
    ):
        run(Spec(), stack.settings)


def test_stores_that_are_away_are_named(stack: Stack) -> None:
    away = stack.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})

    with pytest.raises(Unavailable, match="event log"):
        run(Spec(), away)


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "this took too long"
        time.sleep(0.01)
