"""The two towers, trained on the cluster by Ray Train, and their metrics on the temporal hold-out.

Output, `learning-models/towers/{run}/`: `early/` (towers that never saw the ranker's time), `final/` (those that are
served), each a user tower and `item_embeddings.npy`; `timeline.json`.
"""

from pydantic import Field

from app.models.configs import TowersConfig
from app.settings import Settings
from jobs import stores
from jobs.artefacts import FEATURES, TOWERS, Plan, earlier, plan
from jobs.job import JobResult, JobSpec
from jobs.messages import Message, Messages, follow
from jobs.progress import steps
from jobs.ray_session import on_cluster, ray_session
from jobs.snapshots import Snapshot
from jobs.towers_loop import METRICS, TowersTask, train_towers
from jobs.tracking import Run, tracked


class Spec(JobSpec):
    """What to train on, how, and where."""

    features: str = Field(default="latest", description="run of build_features")
    holdout_share: float = Field(
        default=0.1, ge=0.01, le=0.5, description="share of all examples, the latest, for the verdict"
    )
    num_workers: int = Field(default=1, ge=1, le=64, description="training processes")
    max_failures: int = Field(
        default=1, ge=0, le=100, description="lost workers to recover from, at the last checkpoint"
    )
    towers: TowersConfig = Field(default_factory=TowersConfig)


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises NotFound: there is no such feature run."""
    store = stores.objects(settings)
    features = FEATURES.find(store, spec.features)
    spec = spec.model_copy(update={"features": features.run})
    planned = plan(TOWERS, {"features": features.run}, spec)
    if found := earlier(store, planned, spec):
        return found.result(reused=True)
    with tracked(settings, TOWERS.job, params=planned.spec, tags=planned.inputs) as track:
        with ray_session(settings):
            metrics = _train(spec, planned, store_uri=store.uri_root, track=track)
        track.metrics(metrics)
        manifest = planned.manifest(
            metrics=metrics,
            facts={},
            mlflow_run=track.run_id,
            run_url=track.url,
        )
    TOWERS.publish(store, manifest, fingerprint=planned.fingerprint)
    store.remove(_attempts(planned))
    return manifest.result(reused=False)


def _train(spec: Spec, planned: Plan, *, store_uri: str, track: Run) -> dict[str, float]:
    task = TowersTask(
        snapshot=Snapshot(store_uri, FEATURES.folder(spec.features)),
        store_uri=store_uri,
        folder=planned.folder,
        attempts=_attempts(planned),
        config=spec.towers,
        holdout_share=spec.holdout_share,
        num_workers=spec.num_workers,
        max_failures=spec.max_failures,
    )
    messages = Messages()
    with steps(TOWERS.job, 100) as advance:

        def on_message(said: Message) -> None:
            epoch, most = int(said["epoch"]), int(said["most"])
            values = {name: value for name, value in said.items() if name not in ("epoch", "most")}
            track.metrics({f"epoch_{name}": value for name, value in values.items()}, step=epoch)
            shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
            percent = 100 * (epoch + 1) // (most + 1)  # one more follows, over everything
            advance(percent, f"epoch {epoch + 1} of at most {most}: {shown}")

        advance(0, "starting workers")
        follow(lambda: on_cluster(train_towers, task, messages), messages, on_message=on_message)
    metrics: dict[str, float] = task.store().read_json(f"{planned.folder}/{METRICS}")
    return metrics


def _attempts(planned: Plan) -> str:
    """Where Ray Train keeps checkpoints while it trains."""
    return f"learning-models/attempts/{planned.run}"
