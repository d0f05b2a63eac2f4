"""Scores of some contents for each learner of a batch, as flat arrays under keys `learner * num_items + content`.

A batch whose learners times contents are few is added up in a plain array; a larger one by sorting. Both add the same
numbers in the same order, so that a score has the same bits whatever else is in the batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.features.neighbours import NeighbourTable

MAX_DENSE = 4_000_000
"""Cells, of learners times contents, that are held as an array."""

Keys = NDArray[np.int64]


CELLS_A_KEY = 32
"""Looking through so many cells costs what sorting a key does."""


class KeySet:
    """Keys that can be asked for."""

    def __init__(self, keys: Keys, *, space: int) -> None:
        """`keys` below `space`, in any order, any of them repeated."""
        self._mask = self._sorted = None
        if space <= MAX_DENSE:
            self._mask = np.zeros(space, np.bool_)
            self._mask[keys] = True
        else:
            self._sorted = np.unique(keys)

    def has(self, keys: Keys) -> NDArray[np.bool_]:
        if self._mask is not None:
            return self._mask[keys]
        assert self._sorted is not None
        if not len(self._sorted):
            return np.zeros(len(keys), np.bool_)
        place = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return self._sorted[place] == keys


@dataclass(frozen=True, slots=True)
class SparseScores:
    """What something says of the contents; 0 where it says nothing."""

    key: Keys  # [n] increasing
    value: NDArray[np.float32]  # [n]
    num_items: int

    def at(self, keys: Keys) -> NDArray[np.float32]:
        """The score under each key, 0 where there is none; any shape."""
        if not len(self.key):
            return np.zeros(keys.shape, np.float32)
        place = np.minimum(np.searchsorted(self.key, keys), len(self.key) - 1)
        return np.where(self.key[place] == keys, self.value[place], 0).astype(np.float32)

    def without(self, barred: KeySet) -> "SparseScores":
        kept = ~barred.has(self.key)
        return SparseScores(self.key[kept], self.value[kept], self.num_items)

    def best(self, num_learners: int, limit: int) -> Keys:
        """Keys of each learner's `limit` best contents that something speaks for; best first; ties by content."""
        good = self.value > 0
        key = self.key[good]
        at, _ = best_in_rows(key, self.value[good], num_learners=num_learners, num_items=self.num_items, limit=limit)
        return key[at]


def best_in_rows(
    key: Keys, value: NDArray[np.float32], *, num_learners: int, num_items: int, limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in `key` (increasing) of each learner's `limit` greatest values, best first, ties by content.

    Learner after learner, flat; and beside each its place in the learner's list.
    """
    start = np.searchsorted(key, np.arange(num_learners + 1) * np.int64(num_items))
    size = np.diff(start)
    width = int(size.max(initial=0))
    column = np.arange(width)
    there = column < size[:, None]
    padded = np.full(there.shape, -np.inf, np.float32)
    padded[there] = value
    if width > limit:
        chosen = np.sort(np.argpartition(-padded, limit - 1, axis=1)[:, :limit], axis=1)
        padded = np.take_along_axis(padded, chosen, 1)
    else:
        chosen = np.broadcast_to(column, there.shape)
    order = np.argsort(-padded, axis=1, kind="stable")
    at = start[:-1, None] + np.take_along_axis(chosen, order, 1)
    num = np.minimum(size, limit)
    shown = np.arange(order.shape[1]) < num[:, None]
    return at[shown], np.nonzero(shown)[1]


def neighbour_scores(
    table: NeighbourTable, met: Keys, weights: Sequence[NDArray[np.float32]], *, num_learners: int
) -> tuple[SparseScores, ...]:
    """What the neighbours of all that was met sum up to, once for each of the `weights` `[n]` of `met` `[n]`."""
    row, content = np.divmod(met, len(table))
    start = table.offset[content]
    size = table.offset[content + 1] - start
    ends = np.cumsum(size)
    at = np.arange(ends[-1] if len(ends) else 0) + np.repeat(start - (ends - size), size)
    key = np.repeat(row * np.int64(len(table)), size) + table.index[at].astype(np.int64)
    neighbour = table.weight[at]
    summed = _sums(key, [np.repeat(weight, size) * neighbour for weight in weights], num_learners * len(table))
    return tuple(SparseScores(keys, values, len(table)) for keys, values in summed)


def _sums(key: Keys, values: Sequence[NDArray[np.float32]], space: int) -> list[tuple[Keys, NDArray[np.float32]]]:
    """Keys, increasing, and the sum of the values under each, for each of `values`; sums of 0 are left out."""
    if space <= min(MAX_DENSE, CELLS_A_KEY * len(key)):
        found = [np.bincount(key, value, space) for value in values]
        unique = None
    else:
        unique, place = np.unique(key, return_inverse=True)
        found = [np.bincount(place, value, len(unique)) for value in values]
    there = [np.flatnonzero(sums != 0) for sums in found]  # of truth values it is ten times as fast
    keys = there if unique is None else [unique[at] for at in there]
    return [(k, sums[at].astype(np.float32)) for k, sums, at in zip(keys, found, there, strict=True)]
