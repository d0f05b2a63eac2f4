"""What a job is: a module with a `Spec` and a `run`, found by name."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict, Field

from app.errors import NotFound
from app.settings import Settings

JOBS = {
    "ingest_events": "jobs.ingest_events",
    "build_features": "jobs.build_features",
    "train_retrieval": "jobs.train_retrieval",
    "train_ranking": "jobs.train_ranking",
    "build_index": "jobs.build_index",
    "publish_release": "jobs.publish_release",
    "pipeline": "jobs.pipeline",
    "tune": "jobs.tune",
    "replay_events": "jobs.replay_events",
    "retention": "jobs.retention",
    "erase_learners": "jobs.erase_learners",
    "rotate_pseudonyms": "jobs.rotate_pseudonyms",
    "batch_recommend": "jobs.batch_recommend",
}
"""Name to module, those of the pipeline first, in its order; modules are imported when they are asked for."""


class JobSpec(BaseModel):
    """Base of every job's `Spec`: all fields have defaults, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    force: bool = Field(
        default=False,
        exclude=True,
        description="do it again although the same inputs gave an output already",
    )


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a run made. `output` is the id (or address) that the next job takes."""

    job: str
    output: str
    metrics: dict[str, float]
    run_url: str | None = None  # page of the MLflow run
    reused: bool = False  # an earlier run with the same inputs had made it


class JobModule(Protocol):
    """The two names that a job's module has."""

    Spec: type[JobSpec]

    def run(self, spec: Any, settings: Settings) -> JobResult: ...


def load_job(name: str) -> JobModule:
    """The module of the job `name`. Raises NotFound, with the names that exist."""
    if name not in JOBS:
        raise NotFound(f"no job {name!r}: choose one of {', '.join(JOBS)}")
    return cast(JobModule, import_module(JOBS[name]))
