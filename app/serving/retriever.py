"""The vector index as a deployment: Milvus first, with FAISS over the same vectors in every replica."""

import asyncio
import time
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from opentelemetry.trace import SpanKind

from app.adapters.faiss_index import FaissIndex
from app.adapters.milvus_index import MilvusIndex
from app.errors import DeadlineExceeded, Unavailable
from app.models.release import Release
from app.policy.breaker import Breaker, is_fair
from app.ports.vector_index import Neighbours
from app.recommend.stages import Fault, Retrieved
from app.serving.arguments import GraphArguments
from app.serving.stage import StageReplica, StageStatus

MILVUS_SHARE = 0.6
"""Of the stage's time; the rest is FAISS's, should Milvus be late."""

COOL_DOWN_S, FAILURES_THAT_OPEN = 2.0, 3
MILVUS = {"db.system.name": "milvus"}
PING_EVERY_S, PING_WHILE_DOWN_EVERY_S = 5.0, 1.0


@dataclass(slots=True)
class _Indexes:
    """Of one release: what is wrong with its collection says nothing of another's."""

    faiss: FaissIndex
    milvus: MilvusIndex | None
    breaker: Breaker = field(default_factory=lambda: Breaker(COOL_DOWN_S, threshold=FAILURES_THAT_OPEN))
    fault: str | None = None  # of Milvus

    def failed(self, exc: Unavailable) -> None:
        self.breaker.failed(time.monotonic())
        self.fault = exc.reason


class Retriever(StageReplica[_Indexes]):
    async def __init__(self, _: GraphArguments) -> None:
        self._pinged_at = float("-inf")
        self._ping_task: asyncio.Task[None] | None = None
        await self.start()

    def load(self, release: Release) -> _Indexes:
        faiss = FaissIndex(release.faiss_path)
        faiss.search_now(np.zeros((1, release.manifest.embedding_dim), np.float32), 1)
        if self.settings.retrieval_backend == "faiss" or self.settings.milvus_uri is None:
            return _Indexes(faiss, None)
        uri, collection = self.settings.milvus_uri, release.manifest.collection
        made = _Indexes(faiss, MilvusIndex(uri, collection, content_ids=release.catalogue.content_ids))
        asyncio.run_coroutine_threadsafe(_ping(made), self.loop).result()
        return made

    async def search(
        self,
        release_id: str,
        queries: NDArray[np.float32],
        limit: int,
        deadline_s: float,
        *,
        trace: str | None = None,
    ) -> Retrieved | None:
        """`queries` `[B, dim]`; None where the release is not loaded."""
        indexes = self.keeper.get(release_id)
        if indexes is None:
            return None
        with self.tracing.asked("search", trace):
            return await self._search(indexes, queries, limit=limit, deadline_s=deadline_s)

    async def _search(
        self, indexes: _Indexes, queries: NDArray[np.float32], *, limit: int, deadline_s: float
    ) -> Retrieved:
        began = time.monotonic()
        found = await self._ask_milvus(indexes, queries, limit=limit, deadline_s=deadline_s * MILVUS_SHARE)
        if isinstance(found, Neighbours):
            return Retrieved(found)
        left = deadline_s - (time.monotonic() - began)
        with self.tracing.child("faiss"):
            neighbours = await indexes.faiss.search(queries, limit=limit, deadline_s=left)
        return Retrieved(neighbours, () if found is None else (found,))

    async def _ask_milvus(
        self, indexes: _Indexes, queries: NDArray[np.float32], *, limit: int, deadline_s: float
    ) -> Neighbours | Fault | None:
        """Its answer, or why there is none; None where FAISS is what was chosen."""
        if indexes.milvus is None:
            return None if self.settings.retrieval_backend == "faiss" else Fault("milvus", "unavailable", "no address")
        if not indexes.breaker.allows(time.monotonic()):
            return Fault("milvus", "open", indexes.fault or "")
        try:
            with self.tracing.child("milvus", kind=SpanKind.CLIENT, attributes=MILVUS):
                found = await indexes.milvus.search(queries, limit=limit, deadline_s=deadline_s)
        except DeadlineExceeded as exc:
            if is_fair(deadline_s, budget_s=self.settings.request_timeout_ms / 1000):
                indexes.failed(exc)
            return Fault("milvus", "late", exc.reason)
        except Unavailable as exc:
            indexes.failed(exc)
            return Fault("milvus", "unavailable", exc.reason)
        indexes.breaker.succeeded()
        indexes.fault = None
        return found

    async def status(self) -> StageStatus:
        base = await super().status()
        live = self._live()
        pause_s = PING_WHILE_DOWN_EVERY_S if live and live.fault else PING_EVERY_S
        due = time.monotonic() - self._pinged_at >= pause_s and (self._ping_task is None or self._ping_task.done())
        if live and due:
            self._pinged_at = time.monotonic()
            self._ping_task = asyncio.create_task(_ping(live))
        if self.settings.retrieval_backend == "faiss":
            return StageStatus(base.releases, base.faults, unused=frozenset({"milvus"}))
        fault = (live.fault if live else None) if self.settings.milvus_uri else "no address"
        return StageStatus(base.releases, base.faults | ({"milvus": fault} if fault else {}))

    def _live(self) -> _Indexes | None:
        production = self.keeper.production
        return self.keeper.get(production) if production else None

    def drop(self, served: _Indexes) -> None:
        if served.milvus is not None:
            asyncio.run_coroutine_threadsafe(served.milvus.close(), self.loop)


async def _ping(indexes: _Indexes) -> None:
    """Is Milvus there, even where nobody asks for recommendations; on the loop that its client belongs to."""
    if indexes.milvus is None:
        return
    try:
        await indexes.milvus.ping()
        indexes.fault = None
    except Unavailable as exc:
        indexes.fault = exc.reason
