"""Jobs through Ray's job API: they run on the cluster, whatever happens to the one who asked."""

import shlex
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import ray
import requests
from ray.dashboard.modules.job.common import JobStatus
from ray.job_submission import JobSubmissionClient

from app.adapters.postgres.warehouse import PostgresWarehouse
from app.errors import Conflict, NotFound, Unavailable
from app.settings import Settings, prepare_process

LOOPBACK = ("127.0.0.1", "localhost")
TURN_S = 10.0
"""How long a submission waits while another one of the same job is looked at."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One submitted job, as Ray knows it."""

    submission_id: str
    job: str  # "" where it was submitted by other means
    by: str  # who asked
    status: str
    entrypoint: str
    message: str
    started_at: datetime | None  # UTC
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        return JobStatus(self.status).is_terminal()

    @property
    def succeeded(self) -> bool:
        return self.status == JobStatus.SUCCEEDED


class Submissions:
    """Ray's job API at the cluster of the settings. All raise Unavailable."""

    def __init__(self, settings: Settings, *, python: str | None = None) -> None:
        """`python` runs the jobs; by default this one on this machine, and elsewhere the one on the image's path."""
        prepare_process(settings=settings)
        self._address = settings.need("ray_address")
        self._settings = settings
        self._here = self._address.startswith(LOOPBACK)
        self._python = python or (sys.executable if self._here else "python")
        with _translated(self._address):
            self._client = JobSubmissionClient(self._address)

    def submit(self, job: str, arguments: Sequence[str] = (), *, by: str) -> str:
        """Start `python -m jobs JOB ARGUMENTS`; its submission id."""
        with _translated(self._address):
            return self._client.submit_job(
                entrypoint=shlex.join([self._python, "-m", "jobs", job, *arguments]),
                runtime_env={"env_vars": self._environment()},
                metadata={"job": job, "by": by},
                entrypoint_num_cpus=None if self._here else 1,  # else it would run on the head, which has none
            )

    def submit_alone(self, job: str, arguments: Sequence[str] = (), *, by: str) -> str:
        """The same. Raises Conflict where the same job was submitted, by anyone, and has not ended."""
        with (
            PostgresWarehouse(self._settings.need("postgres_url")) as warehouse,
            warehouse.exclusive(f"submission of {job}", wait_s=TURN_S),
        ):
            if there := self.running(job):
                raise Conflict(f"{job} is running already, as {there.submission_id}: wait until it ends")
            return self.submit(job, arguments, by=by)

    def all(self) -> list[Submission]:
        """Newest first."""
        with _translated(self._address):
            found = [_submission(d) for d in self._client.list_jobs() if d.submission_id]
        return sorted(found, key=lambda s: s.started_at or datetime.now(UTC), reverse=True)

    def running(self, job: str) -> Submission | None:
        return next((one for one in self.all() if one.job == job and not one.ended), None)

    def find(self, submission_id: str) -> Submission:
        """Raises NotFound."""
        found = next((s for s in self.all() if s.submission_id == submission_id), None)
        if found is None:
            raise NotFound(f"no submitted job {submission_id!r}: `learnrec job list` shows those that are")
        return found

    def stop(self, submission_id: str) -> None:
        """Ask it to end; what it leaves unfinished, its next run does again."""
        with _translated(self._address):
            self._client.stop_job(submission_id)

    def logs(self, submission_id: str) -> str:
        """What it has written until now. Raises NotFound."""
        self.find(submission_id)
        with _translated(self._address):
            return self._client.get_job_logs(submission_id)

    async def follow(self, submission_id: str) -> AsyncIterator[str]:
        """Its output as it comes, until it ends."""
        with _translated(self._address):
            async for lines in self._client.tail_job_logs(submission_id):
                yield lines

    def _environment(self) -> dict[str, str]:
        """No secrets: they would be shown. A cluster has its addresses in its own environment, or in VAR."""
        var_dir = str(self._settings.var_dir.resolve())
        here = {"LEARNREC_VAR_DIR": var_dir} if self._here else {}
        return {"LEARNREC_RAY_ADDRESS": "auto", **here}


def of_this_cluster(settings: Settings) -> Submissions:
    """For a process of the cluster."""
    address = ray.get_runtime_context().gcs_address
    return Submissions(settings.model_copy(update={"ray_address": address}), python=sys.executable)


def _submission(details: Any) -> Submission:
    told = details.metadata or {}
    return Submission(
        submission_id=str(details.submission_id),
        job=str(told.get("job", "")),
        by=str(told.get("by", "")),
        status=str(details.status.value),
        entrypoint=str(details.entrypoint),
        message=str(details.message or ""),
        started_at=_moment(details.start_time),
        ended_at=_moment(details.end_time),
    )


def _moment(unix_ms: int | None) -> datetime | None:
    return datetime.fromtimestamp(unix_ms / 1000, UTC) if unix_ms else None


@contextmanager
def _translated(address: str) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, RuntimeError, requests.RequestException) as exc:
        raise Unavailable("ray", f"job API of {address}: {exc}") from exc
