"""From events in Parquet to point-in-time examples, aggregates and the indices that all models share.

Ray Data reads the events and brings each learner's together; every part is then worked on where it is and written
from there, so that memory holds a part at a time and no row comes to the driver.
"""

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
import pyarrow.parquet as pq
import ray.data
from pydantic import Field

from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.redis_features import RedisFeatures
from app.errors import Conflict, NotFound
from app.features.aggregates import ITEM_COUNTS
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.items import Popularity, as_share
from app.features.ranking import FEATURE_SCHEMA
from app.settings import Settings
from jobs import snapshots, stores
from jobs.artefacts import FEATURES, PSEUDONYM_KEY, earlier, plan
from jobs.event_files import EVENTS
from jobs.feature_parts import Indices, Part
from jobs.job import JobResult, JobSpec
from jobs.progress import steps
from jobs.ray_session import Shared, ray_session
from jobs.tracking import tracked

EVENTS_A_PART = 250_000
EVENTS_A_READ = 1_000_000
COLUMNS = ["user_id", "content_id", "event_type", "ts"]


class Spec(JobSpec):
    """How the features are built; none of it changes what they are."""

    num_partitions: int = Field(
        default=0, ge=0, le=10_000, description="parts of learners; 0: one for every 250,000 events"
    )


@dataclass(frozen=True, slots=True)
class Source:
    """What a feature run is made from."""

    indices: Indices
    files: list[str]  # paths below EVENTS
    inputs: dict[str, str]
    key_name: str  # of the pseudonyms of the learners


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises NotFound: no events, learners or contents are there yet; Conflict: none of the events is of use."""
    store = stores.objects(settings)
    source = _source(store, settings)
    planned = plan(FEATURES, source.inputs, spec)
    if found := earlier(store, planned, spec):
        _to_redis(_read_items(store, found.run), settings)  # they expire after hours
        return found.result(reused=True)
    with tracked(settings, FEATURES.job, params=planned.spec, tags=planned.inputs) as track:
        with ray_session(settings):
            items = build(store, planned.folder, source, num_partitions=spec.num_partitions)
        metrics = _sizes(store, planned.folder, source.indices)
        track.metrics(metrics)
        if not metrics["num_examples"]:
            raise Conflict("none of the events is of a known learner on a known content: import learners and contents")
        _to_redis(items, settings)
        manifest = planned.manifest(
            metrics=metrics,
            facts={"feature_schema": FEATURE_SCHEMA, PSEUDONYM_KEY: source.key_name},
            mlflow_run=track.run_id,
            run_url=track.url,
        )
    FEATURES.publish(store, manifest, fingerprint=planned.fingerprint)
    return manifest.result(reused=False)


def _source(store: ObjectStore, settings: Settings) -> Source:
    with stores.warehouse(settings) as warehouse:
        users, contents = warehouse.read("users"), warehouse.read("contents")
    key = load_keyring(settings).current
    users = key.of_column(users.filter(~pc.field("opted_out")).drop_columns(["opted_out", "external_id"]))
    users = users.sort_by("user_id")
    contents = contents.sort_by("content_id")
    files = {name: size for name, size in store.files(EVENTS).items() if name.endswith(".parquet")}
    for what, count in (("learners", users.num_rows), ("contents", contents.num_rows), ("event files", len(files))):
        if not count:
            raise NotFound(f"there are no {what}: `learnrec data generate` or `data import`, then run ingest_events")
    inputs = {
        "events": _digest(json.dumps(files, sort_keys=True).encode()),  # files never change once they are there
        "users": _digest(_ipc(users)),
        "contents": _digest(_ipc(contents)),
        "feature_schema": str(FEATURE_SCHEMA),
    }
    return Source(Indices(Catalogue.build(contents), LearnerVocabulary.build(users)), sorted(files), inputs, key.name)


def build(store: ObjectStore, folder: str, source: Source, *, num_partitions: int = 0) -> pa.Table:
    """Write everything but the manifest to `folder`; ITEM_AGGREGATES."""
    _save_indices(store, folder, source.indices)
    paths = [store.path(f"{EVENTS}/{name}") for name in source.files]
    num_events, last = _span(store, paths)
    num_reads = max(2, -(-num_events // EVENTS_A_READ))
    num_parts = num_partitions or max(2, -(-num_events // EVENTS_A_PART))
    part = Part(store.uri_root, folder, last + 1, Shared(source.indices))
    events = ray.data.read_parquet(
        paths, filesystem=store.filesystem, columns=COLUMNS, partitioning=None, override_num_blocks=num_reads
    )
    counts = (
        events.map_batches(part.index, batch_format="pyarrow", batch_size=None)
        .repartition(num_parts, keys=["user"])  # all events of a learner are in one block, and a batch is a block
        .map_batches(part.write, batch_format="pyarrow", batch_size=None)
    )
    items = _add_up(counts, source.indices.catalogue, num_parts=num_parts)
    pq.write_table(items, store.path(f"{folder}/{snapshots.ITEMS}"), filesystem=store.filesystem)
    return items


def _span(store: ObjectStore, paths: list[str]) -> tuple[int, int]:
    """Number of events and Unix second of the last, read batch by batch."""
    count, last = 0, 0
    for batch in pds.dataset(paths, filesystem=store.filesystem, format="parquet").to_batches(columns=["ts"]):
        if batch.num_rows:
            count += batch.num_rows
            last = max(last, int(pc.call_function("max", [batch["ts"]]).as_py().timestamp()))
    return count, last


def _add_up(counts: ray.data.Dataset, catalogue: Catalogue, *, num_parts: int) -> pa.Table:
    names = [name for name in ITEM_COUNTS.names if name != "content"]
    total = {name: np.zeros(len(catalogue), np.int64) for name in names}
    with steps("build_features", num_parts) as advance:
        advance(0, "reading events")
        batches = cast(Iterable[pa.Table], counts.iter_batches(batch_size=None, batch_format="pyarrow"))
        for done, batch in enumerate(batches, 1):
            rows = batch["content"].to_numpy()
            for name in names:
                np.add.at(total[name], rows, batch[name].to_numpy())
            advance(done, "parts of the learners")
    popularity = Popularity(*(total[name].astype(np.float32) for name in ("learners", "learners_30d", "learners_7d")))
    columns = {
        "content": np.arange(len(catalogue), dtype=np.int32),
        **total,
        "content_id": pa.array(catalogue.content_ids),
        "popularity": as_share(popularity.total),
        "trend": popularity.trend,
    }
    return pa.table(columns).cast(snapshots.ITEM_AGGREGATES)


def _save_indices(store: ObjectStore, folder: str, indices: Indices) -> None:
    with tempfile.TemporaryDirectory() as work:
        indices.catalogue.save(Path(work) / snapshots.CATALOGUE)
        indices.vocabulary.save(Path(work) / snapshots.LEARNERS)
        store.upload(Path(work), folder)


def _sizes(store: ObjectStore, folder: str, indices: Indices) -> dict[str, float]:
    """Rows of the parts, from the footers, and of the indices."""
    result = {"num_learners": float(len(indices.vocabulary)), "num_contents": float(len(indices.catalogue))}
    for what, part in (("num_events", snapshots.EVENTS), ("num_examples", snapshots.EXAMPLES)):
        path = f"{folder}/{part}"
        files = [store.path(f"{path}/{name}") for name in store.files(path)]
        rows = pds.dataset(files, filesystem=store.filesystem, format="parquet").count_rows() if files else 0
        result[what] = float(rows)
    return result


def _read_items(store: ObjectStore, run: str) -> pa.Table:
    return pq.read_table(store.path(f"{FEATURES.folder(run)}/{snapshots.ITEMS}"), filesystem=store.filesystem)


def _to_redis(items: pa.Table, settings: Settings) -> None:
    scores = dict(zip(items["content_id"].to_pylist(), items["popularity"].to_pylist(), strict=True))

    async def put() -> None:
        async with RedisFeatures(settings.need("redis_url"), timeout_s=10) as features:
            await features.put_popularity(scores)

    asyncio.run(put())


def _ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
