"""The table of what runs when, and what counts as missed."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.adapters.postgres.schedule_runs import Outcome, ScheduleRun
from app.errors import InvalidInput
from jobs.job import JOBS
from jobs.schedule import SCHEDULE, Entry, Step
from jobs.scheduler import missed, next_time
from jobs.spec import load_spec

DAILY = Entry("daily", "0 2 * * *", (Step("ingest_events"),))
WEDNESDAY = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def run_at(moment: datetime, outcome: Outcome | None = "succeeded") -> ScheduleRun:
    return ScheduleRun(1, DAILY.name, moment, moment, outcome, "")


def due(job: str, *, after: datetime, assignments: tuple[str, ...] = ()) -> datetime:
    """When a step of this job is due next, in any entry."""
    return min(next_time(entry, after) for entry in SCHEDULE if Step(job, assignments) in entry.steps)


@pytest.mark.parametrize("entry", SCHEDULE, ids=lambda entry: entry.name)
def test_every_step_is_a_job_with_a_valid_spec(entry: Entry) -> None:
    for step in entry.steps:
        assert step.job in JOBS
        load_spec(step.job, None, list(step.assignments))
    assert not re.search(r"\d", entry.cron.split()[4]), "weekdays by name: their numbers differ between schedulers"


def test_each_job_is_due_when_operators_expect_it() -> None:
    assert due("ingest_events", after=WEDNESDAY + timedelta(seconds=1)) == WEDNESDAY + timedelta(minutes=5)
    assert due("build_features", after=WEDNESDAY + timedelta(seconds=1)) == WEDNESDAY + timedelta(hours=1)
    incremental = due("build_index", after=WEDNESDAY + timedelta(seconds=1), assignments=("incremental=true",))
    assert incremental == WEDNESDAY + timedelta(hours=1)
    for job in ("train_ranking", "build_index", "publish_release"):
        moments, now = [], WEDNESDAY
        for _ in range(7):
            now = due(job, after=now + timedelta(seconds=1))
            moments.append(now)
        assert [m.day for m in moments] == [26, 27, 28, 29, 30, 1, 2], job
        assert {(m.hour, m.minute) for m in moments} == {(2, 0)}
    assert due("train_retrieval", after=WEDNESDAY) == datetime(2026, 11, 29, 2, 0, tzinfo=UTC)
    assert WEDNESDAY.weekday() == 2


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (None, False),
        (run_at(WEDNESDAY.replace(hour=2)), False),
        (run_at(WEDNESDAY.replace(hour=1, minute=59)), True),
        (run_at(WEDNESDAY - timedelta(days=9)), True),
        (run_at(WEDNESDAY.replace(hour=2), "failed"), False),
        (run_at(WEDNESDAY.replace(hour=2), "interrupted"), True),
    ],
    ids=["never ran", "was on time", "a minute before it was due", "days ago", "failed is done", "interrupted is not"],
)
def test_what_was_missed(last: ScheduleRun | None, expected: bool) -> None:
    assert missed(DAILY, last, now=WEDNESDAY) is expected


@pytest.mark.parametrize("cron", ["every day", "61 * * * *", "0 2 * *"])
def test_a_cron_that_is_none_is_told(cron: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(repr(cron))):
        next_time(Entry("odd", cron, ()), WEDNESDAY)
