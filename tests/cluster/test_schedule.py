"""The schedule at work on a real cluster: nothing overlaps, nothing is forgotten, all of it is on record."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from app.adapters.postgres.schedule_runs import PostgresScheduleRuns, ScheduleRun
from app.errors import Conflict
from app.serving.submissions import Submission, Submissions
from app.settings import Settings
from jobs import stores
from jobs.schedule import Entry, Step
from jobs.scheduler import Scheduler
from tests.cluster.jobworld import DEADLINE_S, job_world, until, write_addresses

LONG_AGO = datetime.now(UTC) - timedelta(days=3)
YEARLY = "0 0 1 1 *"
"""Not due while a test runs, but for one at New Year."""


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_url: str,
    milvus_lite_uri: str,
    mlflow_uri: str,
    ray_cluster: str,
) -> Iterator[Settings]:
    with job_world(
        tmp_path_factory.mktemp("schedule"),
        postgres_url=postgres_url,
        redis_url=redis_url,
        milvus_uri=milvus_lite_uri,
        mlflow_uri=mlflow_uri,
    ) as world:
        write_addresses(world.settings)
        yield world.settings.model_copy(update={"ray_address": ray_cluster})


class Working:
    """A scheduler on a thread, and what it told."""

    def __init__(self, settings: Settings, entries: list[Entry]) -> None:
        self.told: list[tuple[str, str]] = []
        self._end = threading.Event()
        scheduler = Scheduler(settings, lambda entry, what: self.told.append((entry, what)), entries=entries)
        self._thread = threading.Thread(target=scheduler.run, args=(self._end,), daemon=True)
        self._thread.start()

    def heard(self, what: str, *, of: str) -> bool:
        return any(entry == of and what in said for entry, said in self.told)

    def stop(self) -> None:
        self._end.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


@contextmanager
def working(settings: Settings, *entries: Entry) -> Iterator[Working]:
    """Entries that ran long ago and were due since."""
    made = Working(settings, list(entries))
    try:
        yield made
    finally:
        made.stop()


def was_run(settings: Settings, name: str, *, ended: bool = True) -> None:
    """Put a run of long ago on record."""
    with psycopg.connect(settings.need("postgres_url"), autocommit=True) as connection:
        outcome = "succeeded" if ended else None
        connection.execute(
            "INSERT INTO schedule_runs (entry, started_at, ended_at, outcome) VALUES (%s, %s, %s, %s)",
            [name, LONG_AGO, LONG_AGO if ended else None, outcome],
        )


def history(settings: Settings, name: str) -> list[ScheduleRun]:
    """Oldest first."""
    runs = PostgresScheduleRuns(settings.need("postgres_url")).latest(100)
    return [run for run in reversed(runs) if run.entry == name]


def submitted(settings: Settings, name: str) -> list[Submission]:
    return [one for one in Submissions(settings).all() if one.by == f"schedule: {name}"]


def test_what_was_missed_is_caught_up_once_and_the_same_job_never_overlaps(settings: Settings) -> None:
    entries = [Entry(name, "0 3 * * *", (Step("ingest_events"),)) for name in ("one", "other")]
    for entry in entries:
        was_run(settings, entry.name)
    with working(settings, *entries) as scheduler:
        until(lambda: all(scheduler.heard("succeeded", of=e.name) for e in entries), lambda: str(scheduler.told))
    (first,), (second,) = (submitted(settings, entry.name) for entry in entries)
    assert all(one.started_at and one.ended_at for one in (first, second))
    early, late = sorted((first, second), key=lambda one: one.started_at or LONG_AGO)
    assert early.ended_at <= late.started_at  # type: ignore[operator]
    for entry in entries:
        assert [run.outcome for run in history(settings, entry.name)] == ["succeeded", "succeeded"]


def test_a_second_scheduler_is_refused(settings: Settings) -> None:
    with stores.warehouse(settings) as warehouse, warehouse.exclusive("the schedule"):
        second = Scheduler(settings, lambda *_: None, entries=[])
        with pytest.raises(Conflict, match="the schedule is running already"):
            second.run(threading.Event())


def test_a_step_that_fails_ends_its_entry_and_says_why(settings: Settings) -> None:
    entry = Entry("failing", YEARLY, (Step("train_retrieval", ("features=nowhere",)), Step("ingest_events")))
    was_run(settings, entry.name, ended=False)
    with working(settings, entry) as scheduler:
        until(lambda: scheduler.heard("failed", of=entry.name), lambda: str(scheduler.told))
    assert scheduler.told[0] == ("schedule", "1 runs had no end: the scheduler was killed")
    killed, failed = history(settings, entry.name)
    assert killed.outcome == "interrupted"
    assert failed.outcome == "failed"
    assert failed.message.startswith("train_retrieval (raysubmit_")
    assert len(submitted(settings, entry.name)) == 1


def test_what_is_under_way_when_the_scheduler_stops_is_stopped_and_done_first_next_time(settings: Settings) -> None:
    entry = Entry("stopped", YEARLY, (Step("build_features"),))
    was_run(settings, entry.name, ended=False)
    with working(settings, entry) as scheduler:
        until(lambda: scheduler.heard("started as", of=entry.name), lambda: str(scheduler.told))
    assert history(settings, entry.name)[-1].outcome == "interrupted"
    until(lambda: submitted(settings, entry.name)[0].ended, lambda: "the job is not stopped")
    with working(settings, entry) as scheduler:
        until(lambda: scheduler.heard("started as", of=entry.name), lambda: str(scheduler.told))
    assert len(submitted(settings, entry.name)) == 2
