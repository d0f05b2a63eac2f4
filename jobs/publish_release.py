"""One release from runs that belong together: its folder, its manifest, its entry in the registry as `staging`."""

from datetime import UTC, datetime

from pydantic import Field

from app.domain.releases import MANIFEST, STAGING, Manifest
from app.errors import Conflict
from app.features.ranking import FEATURE_SCHEMA
from app.settings import Settings
from jobs import stores
from jobs.artefacts import (
    FEATURES,
    INDEXES,
    PSEUDONYM_KEY,
    RANKERS,
    TOWERS,
    VERDICT,
    Plan,
    RunManifest,
    Shelf,
    plan,
)
from jobs.job import JobResult, JobSpec
from jobs.progress import steps
from jobs.ray_session import on_cluster, ray_session
from jobs.release_task import ReleaseTask, assemble
from jobs.releases import registry
from jobs.snapshots import Snapshot
from jobs.tracking import tracked

RELEASES = Shelf("learning-models/releases", "publish_release")


class Spec(JobSpec):
    """What the release is made of."""

    ranker: str = Field(default="latest", description="run of train_ranking; its towers and features come with it")
    index: str = Field(default="latest", description="run of build_index, of the same towers")


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises NotFound: a run is not there; Conflict: ranker and index are of different towers."""
    store = stores.objects(settings)
    ranker, index = RANKERS.find(store, spec.ranker), INDEXES.find(store, spec.index)
    if ranker.inputs["towers"] != index.inputs["towers"]:
        raise Conflict(
            f"ranker {ranker.run} is of towers {ranker.inputs['towers']}, index {index.run} of "
            f"{index.inputs['towers']}: run build_index and train_ranking for the same ones"
        )
    spec = spec.model_copy(update={"ranker": ranker.run, "index": index.run})
    planned = plan(RELEASES, {**ranker.inputs, "ranker": ranker.run, "index": index.run}, spec)
    if store.exists(f"{planned.folder}/{MANIFEST}"):
        manifest = Manifest.model_validate_json(store.read(f"{planned.folder}/{MANIFEST}"))
        _announce(manifest, settings)  # an earlier run may have died before it did
        return _result(manifest, reused=True, run_url=None)
    store.remove(planned.folder)
    with tracked(settings, RELEASES.job, params=planned.spec, tags=planned.inputs) as track:
        with ray_session(settings), steps(RELEASES.job) as advance:
            advance(0, "assembling the release")
            hashes, end = on_cluster(assemble, _task(planned, store.uri_root))
        verdict = store.read_json(f"{RANKERS.folder(ranker.run)}/{VERDICT}")
        runs = _mlflow_runs(planned, settings) | {RELEASES.job: track.run_id}
        manifest = _manifest(planned, index=index, files=hashes, runs=runs, verdict=verdict, settings=settings)
        manifest = manifest.model_copy(update={"data_until": datetime.fromtimestamp(end, UTC).isoformat()})
        track.tag("release_id", manifest.release_id)
        track.table(MANIFEST, manifest.model_dump())
    store.write(f"{planned.folder}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
    _announce(manifest, settings)
    return _result(manifest, reused=False, run_url=track.url)


def _task(planned: Plan, store_uri: str) -> ReleaseTask:
    inputs = planned.inputs
    return ReleaseTask(
        store_uri=store_uri,
        snapshot=Snapshot(store_uri, FEATURES.folder(inputs["features"])),
        towers=TOWERS.folder(inputs["towers"]),
        ranker=RANKERS.folder(inputs["ranker"]),
        index=INDEXES.folder(inputs["index"]),
        folder=planned.folder,
    )


def _mlflow_runs(planned: Plan, settings: Settings) -> dict[str, str]:
    store, inputs = stores.objects(settings), planned.inputs
    of = {"features": FEATURES, "towers": TOWERS, "ranker": RANKERS, "index": INDEXES}
    return {shelf.job: shelf.find(store, inputs[name]).mlflow_run for name, shelf in of.items()}


def _manifest(
    planned: Plan,
    *,
    index: RunManifest,
    files: dict[str, str],
    runs: dict[str, str],
    verdict: dict[str, dict[str, float]],
    settings: Settings,
) -> Manifest:
    features = FEATURES.find(stores.objects(settings), planned.inputs["features"])
    return Manifest(
        release_id=planned.run,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        feature_schema=FEATURE_SCHEMA,
        embedding_dim=int(index.metrics["dim"]),
        num_contents=int(features.metrics["num_contents"]),
        num_learners=int(features.metrics["num_learners"]),
        collection=str(index.facts["collection"]),
        data_snapshot=features.run,
        pseudonym_key=str(features.facts.get(PSEUDONYM_KEY, "")),
        runs=runs,
        metrics=verdict,
        files=files,
    )


def _announce(manifest: Manifest, settings: Settings) -> None:
    with registry(settings) as known:
        known.register(manifest)
        known.point(STAGING, manifest.release_id)


def _result(manifest: Manifest, *, reused: bool, run_url: str | None) -> JobResult:
    metrics = {f"{model} ndcg@10": of["ndcg@10"] for model, of in manifest.metrics.items()}
    return JobResult(RELEASES.job, manifest.release_id, metrics, run_url, reused)
