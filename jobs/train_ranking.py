"""The ranker, trained on candidates that the retrieval really returns, and the whole system's verdict.

Output, `learning-models/rankers/{run}/`: `ranker/`, `verdict.json` (models and baselines on the hold-out),
`importance.json`.
"""

from dataclasses import dataclass
from typing import Literal

import psutil
from pydantic import Field

from app.domain.releases import FULL
from app.models.configs import RankerConfig
from app.settings import Settings
from jobs import stores
from jobs.artefacts import FEATURES, IMPORTANCE, RANKERS, TOWERS, VERDICT, Plan, RunManifest, earlier, plan
from jobs.job import JobResult, JobSpec
from jobs.messages import Message, Messages, follow
from jobs.progress import steps
from jobs.ray_session import on_cluster, ray_session
from jobs.snapshots import Snapshot
from jobs.tracking import Run, tracked

Backend = Literal["ray-train", "xgboost-ray"]
STEPS = ("reading", "training set", "cross-validation and fit", "verdict on the hold-out")


class Spec(JobSpec):
    """What to train on, how, and where."""

    towers: str = Field(default="latest", description="run of train_retrieval")
    backend: Backend = Field(
        default="ray-train", description='"ray-train" or "xgboost-ray": who fits the final booster'
    )
    num_workers: int = Field(default=1, ge=1, le=64, description="training processes of the final booster")
    ranker: RankerConfig = Field(default_factory=RankerConfig)


@dataclass(frozen=True, slots=True)
class RankerTask:
    """What to train on, how, and where to leave it."""

    snapshot: Snapshot
    store_uri: str
    towers: str  # folder of the towers' run
    folder: str
    attempts: str
    config: RankerConfig
    backend: Backend
    num_workers: int
    num_threads: int


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises NotFound: there is no such run of train_retrieval."""
    store = stores.objects(settings)
    towers = TOWERS.find(store, spec.towers)
    spec = spec.model_copy(update={"towers": towers.run})
    planned = plan(RANKERS, {**towers.inputs, "towers": towers.run}, spec)
    if found := earlier(store, planned, spec):
        return found.result(reused=True)
    attempts = f"learning-models/attempts/{planned.run}"
    task = _task(spec, planned, towers, store_uri=store.uri_root, attempts=attempts)
    with tracked(settings, RANKERS.job, params=planned.spec, tags=planned.inputs) as track:
        with ray_session(settings):
            metrics = _train(task)
        verdict = store.read_json(f"{planned.folder}/{VERDICT}")
        metrics |= {name: verdict[FULL][name] for name in ("ndcg@10", "recall@10")}
        metrics |= {f"{model} ndcg@10": of["ndcg@10"] for model, of in verdict.items() if model != FULL}
        _log(track, metrics, verdict, store.read_json(f"{planned.folder}/{IMPORTANCE}"))
        manifest = planned.manifest(
            metrics=metrics,
            facts={},
            mlflow_run=track.run_id,
            run_url=track.url,
        )
    RANKERS.publish(store, manifest, fingerprint=planned.fingerprint)
    store.remove(attempts)
    return manifest.result(reused=False)


def _task(spec: Spec, planned: Plan, towers: RunManifest, *, store_uri: str, attempts: str) -> RankerTask:
    return RankerTask(
        snapshot=Snapshot(store_uri, FEATURES.folder(towers.inputs["features"])),
        store_uri=store_uri,
        towers=TOWERS.folder(towers.run),
        folder=planned.folder,
        attempts=attempts,
        config=spec.ranker,
        backend=spec.backend,
        num_workers=spec.num_workers,
        num_threads=psutil.cpu_count() or 1,
    )


def _train(task: RankerTask) -> dict[str, float]:
    messages = Messages()
    with steps(RANKERS.job, len(STEPS)) as advance:

        def on_message(said: Message) -> None:
            advance(int(said["step"]), STEPS[int(said["step"])])

        return follow(lambda: on_cluster(_train_there, task, messages), messages, on_message=on_message)


def _train_there(task: RankerTask, messages: Messages) -> dict[str, float]:
    from jobs.ranker_task import train_ranker  # and with it XGBoost: this process needs none

    return train_ranker(task, messages)


def _log(
    track: Run, metrics: dict[str, float], verdict: dict[str, dict[str, float]], importance: dict[str, float]
) -> None:
    track.metrics(metrics)
    track.table(VERDICT, verdict)
    track.table(IMPORTANCE, importance)
