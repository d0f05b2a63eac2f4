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

    async def record(self, events: pa.Table) -> None:
        """Remember events of EVENT_SCHEMA as recent (one hour)."""
        ...

    async def cache_embeddings(self, user_ids: Sequence[str], embeddings: NDArray[np.float32], *, release: str) -> None:
        """Keep `[B, dim]` for 24 hours."""
        ...

    async def put_popularity(self, popularity: Mapping[str, float]) -> None:
        """Scores by content id, kept for 6 hours."""
        ...

    async def ping(self) -> None: ...
