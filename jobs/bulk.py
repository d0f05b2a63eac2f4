"""What the actors of `batch_recommend` do: a batch of learners in, their lists written, a row of counts out."""

import asyncio
import pickle
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.directory import PostgresLearnerDirectory
from app.adapters.redis_features import RedisFeatures
from app.adapters.release_files import fetch_release
from app.domain.pseudonyms import PseudonymKey
from app.domain.slates import ServedBy, Slate
from app.errors import LearnrecError, Unavailable
from app.models.release import Release, load_release
from app.policy.knobs import Policy
from app.recommend.batch import Budget, RequestBatch
from app.recommend.recommend import recommend
from app.settings import Settings, prepare_process
from jobs.local_stages import LocalStages

PATIENCE_S = 600.0
"""Of one batch, for all its stages: a store that takes this long is away."""

STORE_TIMEOUT_S = 60.0

LISTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("content_id", pa.string()),
        ("position", pa.int32()),
        ("score", pa.float32()),
        ("source", pa.string()),
        ("release", pa.string()),
    ],
    metadata={"version": "1"},
)
"""One row a learner and position, from 1; a learner's rows follow each other. Learners go by pseudonyms, or by ids."""


COUNTS, ERROR = ("learners", "rows", *map(str, ServedBy)), "error"
"""Columns of what an actor answers."""


@dataclass(frozen=True, slots=True)
class BulkTask:
    """What is wanted of every actor."""

    settings: Settings
    release_id: str
    folder: str
    k: int
    num_candidates: int
    now: datetime
    num_threads: int
    key: PseudonymKey | None  # under which the lists name learners; None: by their ids


class Recommender:
    """Loads a release once, then answers batch after batch as the service would at `now`."""

    def __init__(self, task: BulkTask) -> None:
        prepare_process()  # before TensorFlow
        self._task, self._runner = task, asyncio.Runner()
        self._store = ObjectStore(task.settings.object_store_uri)
        self._opened: tuple[Release, LocalStages] | None = None

    def __call__(self, learners: pa.Table) -> pa.Table:
        """`user_id` and `number` of some learners in; a row of counts out, or of the error that kept it from them."""
        try:
            slates = self._runner.run(self._slates(tuple(learners["user_id"].to_pylist())))
            rows = _rows(slates)
            rows = rows if self._task.key is None else self._task.key.of_column(rows)
            sink = pa.BufferOutputStream()
            pq.write_table(rows, sink, compression="zstd")
            name = f"part-{learners['number'][0].as_py():09d}.parquet"  # a batch done again replaces its file
            self._store.write(f"{self._task.folder}/{name}", sink.getvalue().to_pybytes())
        except LearnrecError as exc:  # as a value: Ray Data forgets what is behind an exception
            return pa.table({**{name: [0] for name in COUNTS}, ERROR: [pickle.dumps(exc)]})
        counts = Counter({"learners": len(slates), "rows": rows.num_rows})
        counts.update(str(slate.served_by) for slate in slates)
        return pa.table({**{name: [counts[name]] for name in COUNTS}, ERROR: [b""]})

    async def _open(self) -> tuple[Release, LocalStages]:
        """Clients belong to the loop that they are made on."""
        task, settings = self._task, self._task.settings
        folder = fetch_release(self._store, task.release_id, settings.var_dir / "releases")
        release = load_release(folder, load_keyring(settings))
        directory = PostgresLearnerDirectory(settings.need("postgres_url"), pool_size=1, timeout_s=STORE_TIMEOUT_S)
        await directory.__aenter__()
        features = RedisFeatures(settings.need("redis_url"), timeout_s=STORE_TIMEOUT_S)
        return release, LocalStages(release, directory=directory, features=features, num_threads=task.num_threads)

    async def _slates(self, user_ids: tuple[str, ...]) -> tuple[Slate, ...]:
        """Raises Unavailable: a store does not answer. A degraded answer is for who waits; here it would be kept."""
        if self._opened is None:
            self._opened = await self._open()
        task, (release, stages) = self._task, self._opened
        batch = RequestBatch(user_ids, (task.k,) * len(user_ids), time.monotonic() + PATIENCE_S)
        budget = Budget(Policy(num_candidates=task.num_candidates), batch.deadline, time.monotonic)
        outcome = await recommend(batch, release=release, stages=stages, budget=budget, now=task.now)
        for fault in outcome.faults:
            raise Unavailable(fault.stage, fault.detail or fault.cause)
        return outcome.slates


def _rows(slates: tuple[Slate, ...]) -> pa.Table:
    items = [item for slate in slates for item in slate.items]
    columns = {
        "user_id": [slate.user_id for slate in slates for _ in slate.items],
        "content_id": [item.content_id for item in items],
        "position": [item.position for item in items],
        "score": [item.score for item in items],
        "source": [item.source for item in items],
        "release": [slate.release for slate in slates for _ in slate.items],
    }
    return pa.table(columns, schema=LISTS)
