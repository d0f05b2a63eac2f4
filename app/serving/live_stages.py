"""The stages as they really are: PostgreSQL and Redis from here, the models in their deployments.

One LiveStages serves one release; the clients and breakers behind it are the replica's.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from opentelemetry.trace import SpanKind

from app.adapters.tracing import OFF, Tracing
from app.domain.learners import WINDOW, Learners
from app.domain.slates import Candidates
from app.errors import DeadlineExceeded, Unavailable
from app.policy.breaker import Breaker, is_fair
from app.ports.metadata import LearnerDirectory, LearnerRecords
from app.ports.online_features import OnlineFeatures, OnlineLearners
from app.recommend.stages import Retrieved, within
from app.serving.calls import MissingRelease, Stage

T = TypeVar("T")
FAILURES_THAT_OPEN = 3
CACHING_S = 1.0
MAX_CACHING = 4
"""Batches of embeddings on their way to Redis; what comes on top is not cached."""

SYSTEMS = {"postgres": {"db.system.name": "postgresql"}, "redis": {"db.system.name": "redis"}}
"""What OpenTelemetry calls them."""

_LOG = logging.getLogger(__name__)


class BreakerOpen(Unavailable):
    """The dependency failed a moment ago and is left alone for a while."""

    cause = "open"


@dataclass(frozen=True, slots=True)
class World:
    """What every batch of one ingress replica asks."""

    directory: LearnerDirectory
    features: OnlineFeatures
    embedder: Stage
    retriever: Stage
    ranker: Stage
    budget_s: float  # of a usual request
    breakers: dict[tuple[str, str | None], Breaker] = field(default_factory=dict)
    caching: set[asyncio.Task[None]] = field(default_factory=set)
    tracing: Tracing = OFF

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (self.embedder, self.retriever, self.ranker)

    async def guarded(
        self, name: str, call: Callable[[], Awaitable[T]], *, deadline_s: float, release_id: str | None = None
    ) -> T:
        """The call's answer, unless its breaker is open; models have one for each release.

        Raises BreakerOpen, DeadlineExceeded, or what the call raises.
        """
        with self.tracing.child(name, kind=SpanKind.CLIENT, attributes=SYSTEMS.get(name)):
            return await self._guarded(name, call, deadline_s=deadline_s, release_id=release_id)

    async def _guarded(
        self, name: str, call: Callable[[], Awaitable[T]], *, deadline_s: float, release_id: str | None
    ) -> T:
        breaker = self.breakers.setdefault((name, release_id), Breaker(threshold=FAILURES_THAT_OPEN))
        if not breaker.allows(time.monotonic()):
            raise BreakerOpen(name, "it failed a moment ago")
        try:
            answer = await within(call(), timeout_s=deadline_s)
        except MissingRelease:
            breaker.succeeded()
            raise
        except (TimeoutError, DeadlineExceeded) as exc:
            if is_fair(deadline_s, budget_s=self.budget_s):
                breaker.failed(time.monotonic())
            raise DeadlineExceeded(name, f"no answer within {deadline_s * 1000:.0f} ms") from exc
        except Unavailable:
            breaker.failed(time.monotonic())
            raise
        breaker.succeeded()
        return answer


class LiveStages:
    """Implements `app.recommend.stages.Stages`."""

    def __init__(self, world: World, *, release_id: str, dim: int) -> None:
        self._world, self._release_id, self._dim = world, release_id, dim

    async def records(self, user_ids: Sequence[str], *, deadline_s: float) -> LearnerRecords:
        directory = self._world.directory
        return await self._world.guarded(
            "postgres", lambda: directory.learners(user_ids, window=WINDOW), deadline_s=deadline_s
        )

    async def online(self, user_ids: Sequence[str], *, deadline_s: float) -> OnlineLearners:
        features, release, dim = self._world.features, self._release_id, self._dim
        return await self._world.guarded(
            "redis", lambda: features.learners(user_ids, release=release, dim=dim), deadline_s=deadline_s
        )

    async def embed(self, user_ids: Sequence[str], learners: Learners, *, deadline_s: float) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32] = await self._ask(
            self._world.embedder, "embed", learners, deadline_s=deadline_s
        )
        if len(self._world.caching) < MAX_CACHING:
            task = asyncio.create_task(self._cache(user_ids, embeddings))
            self._world.caching.add(task)
            task.add_done_callback(self._world.caching.discard)
        return embeddings

    async def retrieve(self, queries: NDArray[np.float32], *, limit: int, deadline_s: float) -> Retrieved:
        return await self._ask(self._world.retriever, "search", queries, limit, deadline_s, deadline_s=deadline_s)

    async def rank(
        self, learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates, *, deadline_s: float
    ) -> NDArray[np.float32]:
        return await self._ask(self._world.ranker, "rank", learners, embeddings, candidates, deadline_s=deadline_s)

    async def _ask(self, stage: Stage, method: str, *arguments: object, deadline_s: float) -> Any:
        return await self._world.guarded(
            stage.name,
            lambda: stage.call(method, self._release_id, *arguments, deadline_s=deadline_s),
            deadline_s=deadline_s,
            release_id=self._release_id,
        )

    async def _cache(self, user_ids: Sequence[str], embeddings: NDArray[np.float32]) -> None:
        """For the day when the embedder does not answer; nobody waits for this."""
        features = self._world.features
        try:
            await self._world.guarded(
                "redis",
                lambda: features.cache_embeddings(user_ids, embeddings, release=self._release_id),
                deadline_s=CACHING_S,
            )
        except Unavailable as exc:
            _LOG.warning("embeddings are not cached: %s", exc)
