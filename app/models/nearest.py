"""Exact nearest contents, for training and evaluation: what the vector index approximates."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from app.ports.vector_index import Neighbours

CELLS = 2**24
"""Scores of learners times contents that exist at once: 64 MiB."""


def row_blocks(num_rows: int, width: int) -> Iterator[slice]:
    """Rows of a matrix in blocks of at most CELLS cells, at least one row each."""
    size = max(1, CELLS // max(width, 1))
    return (slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size))


def nearest_items(queries: NDArray[np.float32], items: NDArray[np.float32], *, limit: int) -> Neighbours:
    """Unit vectors `[B, dim]` against `[I, dim]`: the `limit` nearest by squared L2, nearest first."""
    limit = min(limit, len(items))
    nearest = Neighbours(np.empty((len(queries), limit), np.int32), np.empty((len(queries), limit), np.float32))
    for rows in row_blocks(len(queries), len(items)):
        found = _nearest(queries[rows], items, limit)
        nearest.index[rows], nearest.distance[rows] = found.index, found.distance
    return nearest


def _nearest(queries: NDArray[np.float32], items: NDArray[np.float32], limit: int) -> Neighbours:
    similarity = queries @ items.T
    part = np.argpartition(-similarity, limit - 1, axis=1)[:, :limit]
    value = np.take_along_axis(similarity, part, 1)
    order = np.argsort(-value, axis=1, kind="stable")
    index = np.take_along_axis(part, order, 1).astype(np.int32)
    return Neighbours(index, (2 - 2 * np.take_along_axis(value, order, 1)).astype(np.float32))
