"""Jobs through Ray's job API: they run on the cluster, whatever happens to the one who asked."""

import json
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from ray.dashboard.modules.job.common import JobStatus
from ray.job_submission import JobSubmissionClient

from app.errors import NotFound, Unavailable
from app.settings import Settings, prepare_process
from jobs.job import JobSpec

LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True)
class Submission:
    """One submitted job, as Ray knows it."""

    submission_id: str
    status: str
    entrypoint: str
    message: str
    started_ms: int  # Unix milliseconds, 0 before


class Submissions:
    """Ray's job API at the cluster of the settings. All raise Unavailable."""

    def __init__(self, settings: Settings) -> None:
        prepare_process(settings=settings)
        self._address = settings.need("ray_address")
        self._settings = settings
        with _translated(self._address):
            self._client = JobSubmissionClient(self._address)

    def submit(self, name: str, spec: JobSpec) -> str:
        """Start the job `name` with all of `spec`; its submission id."""
        with _translated(self._address):
            return self._client.submit_job(
                entrypoint=entrypoint_of(name, spec, python=self._python()),
                runtime_env={"env_vars": self._environment()},
                metadata={"job": name},
            )

    def all(self) -> list[Submission]:
        """Newest first."""
        with _translated(self._address):
            found = [_submission(d) for d in self._client.list_jobs() if d.submission_id]
        return sorted(found, key=lambda s: -s.started_ms)

    def find(self, submission_id: str) -> Submission:
        """Raises NotFound."""
        found = next((s for s in self.all() if s.submission_id == submission_id), None)
        if found is None:
            raise NotFound(f"no submitted job {submission_id!r}: `learnrec job list` shows those that are")
        return found

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

    def succeeded(self, submission_id: str) -> bool:
        with _translated(self._address):
            return self._client.get_job_status(submission_id) == JobStatus.SUCCEEDED

    def _python(self) -> str:
        """The stack of this machine runs this very installation; an image has its own."""
        return sys.executable if self._address.startswith(LOOPBACK) else "python"

    def _environment(self) -> dict[str, str]:
        """No secrets: they would be shown. A cluster has its addresses in its own environment, or in VAR."""
        var_dir = str(self._settings.var_dir.resolve())
        here = {"LEARNREC_VAR_DIR": var_dir} if self._address.startswith(LOOPBACK) else {}
        return {"LEARNREC_RAY_ADDRESS": "auto", **here}


def entrypoint_of(name: str, spec: JobSpec, *, python: str) -> str:
    """The command line that runs the job with this spec, whole: no file has to travel."""
    assigned = [f"--set={path}={json.dumps(value)}" for path, value in _leaves(spec.model_dump(mode="json"))]
    return shlex.join([python, "-m", "jobs", name, *assigned, *(["--force"] if spec.force else [])])


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _submission(details: Any) -> Submission:
    return Submission(
        submission_id=str(details.submission_id),
        status=str(details.status.value),
        entrypoint=str(details.entrypoint),
        message=str(details.message or ""),
        started_ms=int(details.start_time or 0),
    )


@contextmanager
def _translated(address: str) -> Iterator[None]:
    try:
        yield
    except (ConnectionError, RuntimeError, requests.RequestException) as exc:
        raise Unavailable("ray", f"job API of {address}: {exc}") from exc
