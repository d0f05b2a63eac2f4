"""Exact nearest contents, for training and evaluation: what the vector index approximates."""

import numpy as np
from numpy.typing import NDArray

from app.ports.vector_index import Neighbours


def nearest_items(queries: NDArray[np.float32], items: NDArray[np.float32], *, limit: int) -> Neighbours:
    """Unit vectors `[B, dim]` against `[I, dim]`: the `limit` nearest by squared L2, nearest first."""
    similarity = queries @ items.T
    limit = min(limit, items.shape[0])
    part = np.argpartition(-similarity, limit - 1, axis=1)[:, :limit]
    value = np.take_along_axis(similarity, part, 1)
    order = np.argsort(-value, axis=1, kind="stable")
    index = np.take_along_axis(part, order, 1).astype(np.int32)
    return Neighbours(index, (2 - 2 * np.take_along_axis(value, order, 1)).astype(np.float32))
