"""Vectors: nearest items by L2 distance for whole batches, and the collections that hold them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Nearest first; unused cells hold index -1 and distance +inf."""

    index: NDArray[np.int32]  # [B, limit] into the release's catalogue
    distance: NDArray[np.float32]  # [B, limit] squared L2


class VectorIndex(Protocol):
    """One release's vectors. Raises Unavailable, or DeadlineExceeded after `deadline_s`."""

    async def search(self, queries: NDArray[np.float32], *, limit: int, deadline_s: float) -> Neighbours:
        """`queries` `[B, dim]`."""
        ...

    async def ping(self) -> None: ...


class VectorStore(Protocol):
    """Collections, for jobs. All raise Unavailable."""

    def build(
        self,
        collection: str,
        content_ids: Sequence[str],
        *,
        embeddings: NDArray[np.float32],
        created_at: NDArray[np.int64],
    ) -> None:
        """Make the collection anew, fill it in batches, index it, load it and check one query against itself."""
        ...

    def add(
        self,
        collection: str,
        content_ids: Sequence[str],
        *,
        embeddings: NDArray[np.float32],
        created_at: NDArray[np.int64],
    ) -> None:
        """Put more into a collection that is served; again changes nothing. Readers find them within seconds."""
        ...

    def point(self, alias: str, collection: str) -> None:
        """Let `alias` stand for `collection` from now on, in one step."""
        ...

    def collections(self) -> tuple[str, ...]: ...

    def drop(self, collection: str) -> None: ...
