"""All jobs in order, each with what the one before it made. What is there already is not done again."""

import time

from pydantic import Field
from rich.console import Console

from app.settings import Settings
from jobs.build_features import Spec as FeaturesSpec
from jobs.build_index import Spec as IndexSpec
from jobs.ingest_events import Spec as IngestSpec
from jobs.job import JOBS, JobResult, JobSpec, load_job
from jobs.publish_release import Spec as ReleaseSpec
from jobs.ray_session import one_ray_session
from jobs.releases import promote
from jobs.train_ranking import Spec as RankingSpec
from jobs.train_retrieval import Spec as RetrievalSpec


class Spec(JobSpec):
    """A table for each job's own spec, and what to do at the end."""

    promote: bool = Field(default=False, description="make the release live when it is published")
    ingest_events: IngestSpec = Field(default_factory=IngestSpec)
    build_features: FeaturesSpec = Field(default_factory=FeaturesSpec)
    train_retrieval: RetrievalSpec = Field(default_factory=RetrievalSpec)
    train_ranking: RankingSpec = Field(default_factory=RankingSpec)
    build_index: IndexSpec = Field(default_factory=IndexSpec)
    publish_release: ReleaseSpec = Field(default_factory=ReleaseSpec)


NUM_STEPS = len(JOBS.keys() & Spec.model_fields.keys())


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises whatever a job raises; what was finished before that is found again by the next run."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    seconds: dict[str, float] = {}

    def step(job: str, **inputs: str) -> JobResult:
        started = time.monotonic()
        own: JobSpec = getattr(spec, job)
        result = load_job(job).run(own.model_copy(update={**inputs, "force": spec.force}), settings)
        seconds[job] = time.monotonic() - started
        what = "[yellow]reused[/]" if result.reused else "[green]made[/]"
        console.print(f"{len(seconds)}/{NUM_STEPS} {job:<16} {what} {result.output}  {seconds[job]:.1f} s")
        return result

    step("ingest_events")
    with one_ray_session():  # starting workers is half of a small job
        features = step("build_features")
        towers = step("train_retrieval", features=features.output)
        ranker = step("train_ranking", towers=towers.output)
        index = step("build_index", towers=towers.output)
        release = step("publish_release", ranker=ranker.output, index=index.output)
    if spec.promote:
        promote(settings, release.output)
        console.print(f"promoted {release.output}")
    metrics = {**release.metrics, **{f"{job} s": round(took, 1) for job, took in seconds.items()}}
    return JobResult("pipeline", release.output, metrics, release.run_url, release.reused)
