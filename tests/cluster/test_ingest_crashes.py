"""Whatever happens while events are taken in: each is in Parquet once and in PostgreSQL once."""

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from json import JSONDecodeError
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from app.adapters import logs
from app.adapters.event_codec import encode_events
from app.adapters.event_log import EventLog
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.erasures import PostgresErasures
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.domain.pseudonyms import Keyring, PseudonymKey
from app.settings import child_environment
from jobs import erase_learners
from jobs.event_files import JOURNAL
from jobs.ingest_events import Intake, Spec, ingest, run
from tests import rows
from tests.cluster.ingesting import SECRET, Stack, many, once, stack_with

KEY = PseudonymKey(SECRET.encode())
JOB = [sys.executable, "-m", "jobs", "ingest_events"]


class PowerCut(BaseException):
    """The process ends here."""


@pytest.fixture(params=["redis", "kafka"])
def stack(request: pytest.FixtureRequest, clean_postgres: str, tmp_path: Path) -> Stack:
    return stack_with(request.param, request, clean_postgres, tmp_path)


class FailingWarehouse(PostgresWarehouse):
    """The real one; the power goes before or after the events are stored."""

    after = False

    def put_events(self, events: pa.Table) -> int:
        if self.after:
            super().put_events(events)
        raise PowerCut


class FailingLog(EventLog):
    def commit(self, *, group: str, partition: str, position: str) -> None:
        raise PowerCut


class FailingStore(ObjectStore):
    """The power goes at the n-th file, the journal's being the first."""

    writes_left = 0

    def write(self, relative: str, data: bytes) -> None:
        if self.writes_left == 0:
            raise PowerCut
        self.writes_left -= 1
        super().write(relative, data)


def attempt(stack: Stack, crash: str, *, batch_size: int) -> bool:
    """One run that ends where `crash` says, or well."""
    warehouse_kind = FailingWarehouse if crash in ("before postgresql", "after postgresql") else PostgresWarehouse
    store: ObjectStore = stack.store
    if crash.startswith("write "):
        store = FailingStore(stack.settings.object_store_uri)
        store.writes_left = int(crash.split()[1])
    with (
        warehouse_kind(stack.postgres_url) as warehouse,
        logs.event_entries(stack.settings) as entries,
        logs.dead_letters(stack.settings) as dead,
    ):
        if isinstance(warehouse, FailingWarehouse):
            warehouse.after = crash == "after postgresql"
        log = FailingLog(entries) if crash == "before commit" else EventLog(entries)
        intake = Intake(log, dead, warehouse, store, "ingest_events", KEY)
        try:
            for _ in ingest(intake, log.lag(group="ingest_events"), batch_size=batch_size):
                pass
        except PowerCut:
            return False
    return True


STEPS = ["write 0", "write 1", "write 3", "before postgresql", "after postgresql", "before commit"]


@pytest.mark.parametrize("next_batch", [25, 60, 1000])
@pytest.mark.parametrize("crash", STEPS)
def test_a_crash_at_any_step_loses_and_doubles_nothing(stack: Stack, crash: str, next_batch: int) -> None:
    first, late, more = many(60, seed=1), rows.events(["a"] * 3, ["late"] * 3), many(30, seed=2)
    stack.append(pa.concat_tables([late.slice(0, 1), first, late.slice(1)]))
    assert not attempt(stack, crash, batch_size=20)
    stack.append(more)
    if next_batch == 60:
        stack.know(["late"])  # what was to be set aside is welcome now, also the very first event

    assert attempt(stack, "", batch_size=next_batch)

    welcome = late if next_batch == 60 and crash not in ("after postgresql", "before commit") else late.slice(0, 0)
    stored = stack.in_postgres()
    assert stack.in_parquet() == stored
    assert once(pa.concat_tables([first, more])) <= stored
    assert set(stored.values()) == {1}
    assert once(welcome) <= stored
    aside = {letter.value for letter in stack.dead()}
    not_aside = (i for i, value in zip(once(late), encode_events(late), strict=True) if value not in aside)
    assert set(not_aside) <= set(stored)
    with logs.event_log(stack.settings) as log:
        assert set(log.lag(group="ingest_events").values()) == {0}


def test_who_is_erased_after_a_crash_takes_nobody_along(stack: Stack, redis_url: str) -> None:
    """The journal knows a batch by its first event: that one's learner goes, the others' events stay."""
    stack.settings = stack.settings.model_copy(update={"redis_url": redis_url})
    stack.append(produced := many(60, seed=1))
    assert not attempt(stack, "after postgresql", batch_size=60)
    journals = (stack.store.read_json(f"{JOURNAL}/{name}") for name in stack.store.files(JOURNAL))
    (witness,) = (orjson.loads(journal["witness"]) for journal in journals if journal["witness"])
    gone = next(user for user in produced["user_id"].to_pylist() if KEY.of(user) == witness["user_id"])
    PostgresErasures(stack.postgres_url).request(gone, Keyring([KEY]))

    erase_learners.run(erase_learners.Spec(), stack.settings)

    assert stack.in_parquet() == stack.in_postgres() != Counter()
    run(Spec(), stack.settings)
    others = produced.filter(pc.field("user_id") != gone)
    assert stack.in_parquet() == stack.in_postgres() == once(others)


def under_way(store: ObjectStore) -> bool:
    """Whether a journal tells of a batch; rclone shows one that is being written as far as it is."""
    with suppress(JSONDecodeError):
        return any(store.read_json(f"{JOURNAL}/{name}")["witness"] for name in store.files(JOURNAL))
    return True


@pytest.mark.parametrize(
    ("kills", "by_tasks"),
    [(2, False), pytest.param(50, False, marks=pytest.mark.slow), pytest.param(5, True, marks=pytest.mark.slow)],
)
def test_killed_at_random_moments_it_still_loses_and_doubles_nothing(
    stack: Stack, kills: int, by_tasks: bool, request: pytest.FixtureRequest
) -> None:
    if by_tasks:  # one for each partition, where there is more than a batch; the cluster outlives the job
        cluster: str = request.getfixturevalue("ray_cluster")
        stack.settings = stack.settings.model_copy(update={"ray_address": cluster})
    size = 30 if by_tasks or stack.settings.redis_url else 100
    produced, rng, killed = [], random.Random(7), 0
    for kill in range(kills):
        produced.append(many(400, seed=kill))
        stack.append(produced[-1])
        process = subprocess.Popen(
            [*JOB, *(f"--set={it}" for it in (f"tasks_from={1 if by_tasks else 10**6}", f"batch_size={size}"))],
            env=child_environment(stack.settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(lambda: under_way(stack.store) or process.poll() is not None)  # noqa: B023  # called at once
            time.sleep(rng.random() * 0.3)  # the moment is the point
        finally:
            process.kill()
            killed += process.wait(timeout=20) != 0

    run(Spec(), stack.settings)

    assert killed >= kills / 2
    assert stack.in_parquet() == stack.in_postgres() == once(pa.concat_tables(produced))


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 90) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "this took too long"
        time.sleep(0.01)
