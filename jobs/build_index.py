"""Item embeddings into a Milvus collection of their own, and a FAISS file of the same vectors beside it.

Output, `learning-models/indexes/{run}/index.faiss`; the collection is `learnrec_{run}`. A release names its collection,
so nothing live changes here: the alias `content_embeddings` moves when a release is promoted. Incremental, it serves at
once what was published since (`jobs/extend_release.py`).
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.adapters.faiss_index import write_faiss
from app.adapters.milvus_store import MilvusStore
from app.adapters.object_store import ObjectStore
from app.models.release import INDEX_FILE
from app.settings import Settings
from jobs import stores
from jobs.artefacts import FEATURES, INDEXES, TOWERS, earlier, plan
from jobs.job import JobResult, JobSpec
from jobs.progress import steps
from jobs.snapshots import Snapshot
from jobs.towers_loop import FINAL
from jobs.tracking import tracked


class Spec(JobSpec):
    """Whose embeddings."""

    towers: str = Field(default="latest", description="run of train_retrieval")
    incremental: bool = Field(
        default=False,
        description="no new index: contents that the live release does not know yet are embedded and served at once",
    )


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises NotFound: no such towers; Conflict: the collection does not find a vector by itself."""
    if spec.incremental:
        from jobs.extend_release import extend  # what it needs, no other index does

        return extend(settings)
    store, milvus = stores.objects(settings), MilvusStore(settings.need("milvus_uri"))
    towers = TOWERS.find(store, spec.towers)
    spec = spec.model_copy(update={"towers": towers.run})
    planned = plan(INDEXES, {**towers.inputs, "towers": towers.run}, spec)
    found = earlier(store, planned, spec)
    if found and found.facts["collection"] in milvus.collections():
        return found.result(reused=True)
    collection = f"learnrec_{planned.run}"
    with tracked(settings, INDEXES.job, params=planned.spec, tags=planned.inputs) as track:
        catalogue = Snapshot(store.uri_root, FEATURES.folder(towers.inputs["features"])).catalogue()
        embeddings = _embeddings(store, TOWERS.folder(towers.run))
        with steps(INDEXES.job, 2) as advance:
            advance(0, f"{len(embeddings):,} vectors into {collection}")
            milvus.build(
                collection, catalogue.content_ids, embeddings=embeddings, created_at=catalogue.arrays.created_at
            )
            advance(1, INDEX_FILE)
            with tempfile.TemporaryDirectory() as work:
                write_faiss(Path(work) / INDEX_FILE, embeddings)
                store.upload(Path(work), planned.folder)
        metrics = {"num_vectors": float(len(embeddings)), "dim": float(embeddings.shape[1])}
        track.metrics(metrics)
        manifest = planned.manifest(
            metrics=metrics, facts={"collection": collection}, mlflow_run=track.run_id, run_url=track.url
        )
    INDEXES.publish(store, manifest, fingerprint=planned.fingerprint)
    return manifest.result(reused=False)


def _embeddings(store: ObjectStore, folder: str) -> NDArray[np.float32]:
    return np.load(io.BytesIO(store.read(f"{folder}/{FINAL}/item_embeddings.npy")), allow_pickle=False)
