"""Online features: the few values that must be fresh at the next request. Every key expires."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class OnlineLearners:
    """Recent events (at most WINDOW, most recent first, of the last hour) and cached embeddings, in the order asked."""

    contents: tuple[Sequence[str], ...]  # [B]
    event_types: tuple[Sequence[str], ...]  # [B]
    ts: tuple[Sequence[int], ...]  # [B] Unix seconds
    embeddings: NDArray[np.float32]  # [B, dim] of the asked-for release; rows of NaN where none is cached


class OnlineFeatures(Protocol):
    """Asynchronous; one pipeline a call. All raise Unavailable."""

    async def learners(self, user_ids: Sequence[str], *, release: str, dim: int) -> OnlineLearners: ...

    async def cache_embeddings(self, user_ids: Sequence[str], embeddings: NDArray[np.float32], *, release: str) -> None:
        """Keep `[B, dim]` for 24 hours."""
        ...

    async def ping(self) -> None: ...


class LiveFeatures(Protocol):
    """What events write as they come. Asynchronous; all raise Unavailable."""

    async def record(self, events: pa.Table) -> None:
        """Remember events of EVENT_SCHEMA: recent ones of their learners, learners of their contents. Again is once."""
        ...

    async def begin(self) -> bool:
        """Whether nothing is known to be kept here, as after a flush; of many who ask, one is told so in a minute."""
        ...

    async def settle(self) -> None:
        """All that was to be kept is."""
        ...

    async def put_popularity(self, popularity: Mapping[str, float]) -> None:
        """Scores by content id, kept for 6 hours."""
        ...
