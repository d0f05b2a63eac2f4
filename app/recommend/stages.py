"""What the orchestration asks of the world: five stages, each for a whole batch, each with a deadline.

A stage that fails or is late raises Unavailable; `attempt` makes a value of it, so that the answer can say so.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import Candidates
from app.errors import DeadlineExceeded, Unavailable
from app.ports.metadata import LearnerRecords
from app.ports.online_features import OnlineLearners
from app.ports.vector_index import Neighbours

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Neighbours, and the faults met on the way to them (`milvus`, when FAISS had to answer)."""

    neighbours: Neighbours
    faults: tuple["Fault", ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that did not work. `cause` is one of a few words, fit for a metric's label."""

    stage: str  # one of app.policy.ladder.LABELS
    cause: str  # late | unavailable | open (its breaker is) | release (it does not hold the one asked for)
    detail: str = field(default="", compare=False)


class Stages(Protocol):
    """The stages of one release. All raise Unavailable, or DeadlineExceeded after `deadline_s`."""

    async def records(self, user_ids: Sequence[str], *, deadline_s: float) -> LearnerRecords: ...

    async def online(self, user_ids: Sequence[str], *, deadline_s: float) -> OnlineLearners: ...

    async def embed(self, user_ids: Sequence[str], learners: Learners, *, deadline_s: float) -> NDArray[np.float32]:
        """`[B, dim]`, unit norm."""
        ...

    async def retrieve(self, queries: NDArray[np.float32], *, limit: int, deadline_s: float) -> Retrieved:
        """`queries` `[B, dim]`."""
        ...

    async def rank(
        self, learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates, *, deadline_s: float
    ) -> NDArray[np.float32]:
        """`[B, K]`, 0..1, -inf in padding."""
        ...


async def attempt(stage: str, call: Awaitable[T], *, timeout_s: float) -> T | Fault:
    """The stage's answer, or what kept it from answering."""
    try:
        return await within(call, timeout_s=timeout_s)
    except (TimeoutError, DeadlineExceeded) as exc:
        return Fault(stage, "late", str(exc) or f"no answer within {timeout_s * 1000:.0f} ms")
    except Unavailable as exc:
        return Fault(stage, getattr(exc, "cause", "unavailable"), str(exc))


async def within(call: Awaitable[T], *, timeout_s: float) -> T:
    """What `call` returns. Raises TimeoutError at once when the time is up, even where it resists its cancellation.

    A client may take seconds to give up politely on a server that is frozen; nobody waits for that.
    """
    task = asyncio.ensure_future(call)
    try:
        done, _ = await asyncio.wait({task}, timeout=max(timeout_s, 0.0))
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        task.add_done_callback(_forget)
        raise TimeoutError
    return task.result()


def _forget(task: "asyncio.Future[T]") -> None:
    """What an abandoned call says in the end is heard by nobody; asyncio would complain of that."""
    if not task.cancelled():
        task.exception()
