"""The schedule at work: entries that are due go to the cluster, step by step, each job alone of its kind."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from app.adapters.postgres.schedule_runs import Outcome, PostgresScheduleRuns, ScheduleRun
from app.errors import Conflict, InvalidInput, LearnrecError, Unavailable
from app.serving.submissions import Submission, Submissions
from app.settings import Settings
from jobs import stores
from jobs.schedule import SCHEDULE, Entry

LOOK_EVERY_S = 2.0
PATIENCE_S = 60.0
"""How long Ray or PostgreSQL may be away before a run is given up."""

Tell = Callable[[str, str], None]
"""Entry and what happened to it."""


class Scheduler:
    """Runs `entries` until it is stopped. One at a time on a warehouse.

    What was due while no scheduler ran is caught up, once. An entry that is due while its last run is under way is
    skipped; a step waits until no other run of the same job, whoever started it, is under way.
    """

    def __init__(self, settings: Settings, tell: Tell, *, entries: Sequence[Entry] = SCHEDULE) -> None:
        self._settings, self._tell, self._entries = settings, tell, entries
        self._submissions = Submissions(settings)
        self._runs = PostgresScheduleRuns(settings.need("postgres_url"))
        self._stopping = threading.Event()
        self._clockwork = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(max(1, len(entries)))},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._clockwork.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES)

    def run(self, until: threading.Event) -> None:
        """Until `until` is set; what is under way then is stopped, and is done first next time.

        Raises Conflict: another scheduler runs.
        """
        with stores.warehouse(self._settings) as warehouse, warehouse.exclusive("the schedule"):
            if abandoned := self._runs.close_abandoned():
                self._tell("schedule", f"{abandoned} runs had no end: the scheduler was killed")
            last, now = self._runs.last_of_each(), datetime.now(UTC)
            for entry in self._entries:
                at_once: dict[str, Any] = {"next_run_time": now} if missed(entry, last.get(entry.name), now=now) else {}
                self._clockwork.add_job(self._run, trigger_of(entry), [entry], id=entry.name, **at_once)
            self._clockwork.start()
            try:
                until.wait()
            finally:
                self._stopping.set()
                self._clockwork.shutdown(wait=True)

    def _run(self, entry: Entry) -> None:
        try:
            run_id = self._patiently(lambda: self._runs.begin(entry.name))
        except Unavailable as exc:
            self._tell(entry.name, f"not started: {exc}")
            return
        try:
            for step in entry.steps:
                ended = self._step(entry, step.job, step.arguments)
                if self._stopping.is_set():
                    raise InterruptedError
                if not ended.succeeded:
                    raise LearnrecError(f"{step.job} ({ended.submission_id}) {ended.status}: {ended.message}")
            outcome: tuple[Outcome, str] = ("succeeded", "")
        except InterruptedError:
            outcome = ("interrupted", "the scheduler was stopped")
        except LearnrecError as exc:
            outcome = ("failed", str(exc))
        self._patiently(lambda: self._runs.end(run_id, *outcome))
        self._tell(entry.name, " ".join(filter(None, (outcome[0], outcome[1]))))

    def _step(self, entry: Entry, job: str, arguments: list[str]) -> Submission:
        """The job, ended. Raises InterruptedError before it has started."""
        submission_id = None
        while submission_id is None:
            if self._stopping.is_set():
                raise InterruptedError
            try:
                submission_id = self._patiently(
                    lambda: self._submissions.submit_alone(job, arguments, by=f"schedule: {entry.name}")
                )
            except Conflict:
                self._stopping.wait(LOOK_EVERY_S)
        self._tell(entry.name, f"{job} started as {submission_id}")
        while not (seen := self._patiently(lambda: self._submissions.find(submission_id))).ended:
            if self._stopping.wait(LOOK_EVERY_S):
                self._submissions.stop(submission_id)
                break
        return seen

    def _patiently(self, do: Callable[[], Any]) -> Any:
        """Again, while Ray or PostgreSQL is away. Raises Unavailable after PATIENCE_S."""
        for _ in range(round(PATIENCE_S / LOOK_EVERY_S)):
            try:
                return do()
            except Unavailable:
                if self._stopping.wait(LOOK_EVERY_S):
                    raise
        return do()

    def _skipped(self, event: JobSubmissionEvent) -> None:
        self._runs.skip(event.job_id, "the run before was still under way")
        self._tell(event.job_id, "skipped: the run before is still under way")


def trigger_of(entry: Entry) -> CronTrigger:
    """Raises InvalidInput: its cron is none."""
    try:
        return CronTrigger.from_crontab(entry.cron, timezone=UTC)
    except ValueError as exc:
        raise InvalidInput(f"the schedule's entry {entry.name} has the cron {entry.cron!r}: {exc}") from exc


def next_time(entry: Entry, now: datetime) -> datetime:
    """When it is due next. Raises InvalidInput: never."""
    due = trigger_of(entry).get_next_fire_time(None, now)
    if due is None:
        raise InvalidInput(f"the schedule's entry {entry.name} is never due: its cron is {entry.cron!r}")
    return due


def missed(entry: Entry, last: ScheduleRun | None, *, now: datetime) -> bool:
    """Whether the entry was due since its last run began, or that was interrupted. What never ran was not missed."""
    if last is None:
        return False
    due = trigger_of(entry).get_next_fire_time(last.started_at, last.started_at)
    return last.outcome == "interrupted" or (due is not None and due <= now)
