"""Item-to-item tables: what follows a content, and what is studied by the same learners."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from app.features.learners import EventArrays

WIDTH = 50
"""Neighbours kept of a content."""


@dataclass(frozen=True, slots=True)
class NeighbourTable:
    """Best neighbours of each content, best first; unused cells hold index -1 and weight 0."""

    index: NDArray[np.int32]  # [I, WIDTH]
    weight: NDArray[np.float32]  # [I, WIDTH] 0..1


def transitions(pairs: EventArrays, *, num_items: int, steps: int = 3) -> NeighbourTable:
    """How often a content follows another within `steps`, a step's weight being 1/distance.

    Weights are shares of what follows, shrunk by 2 pseudo-counts so that a content seen once is not certain.
    A first-order Markov chain is `steps=1` (Rendle et al., Factorizing Personalized Markov Chains, 2010).
    """
    matrix = sp.csr_matrix((num_items, num_items), dtype=np.float32)
    for step in range(1, steps + 1):
        same = pairs.user[step:] == pairs.user[:-step]
        before, after = pairs.content[:-step][same], pairs.content[step:][same]
        ones = np.full(len(before), 1 / step, np.float32)
        matrix = matrix + sp.csr_matrix((ones, (before, after)), (num_items, num_items))
    matrix.setdiag(0)
    total = np.asarray(matrix.sum(1)).ravel() + 2.0
    return _best(sp.csr_matrix(sp.diags(1 / total) @ matrix))


def together(pairs: EventArrays, *, num_items: int) -> NeighbourTable:
    """Cosine of the sets of learners of two contents (Sarwar et al., Item-based collaborative filtering, 2001)."""
    num_users = int(pairs.user.max(initial=0)) + 1
    ones = np.ones(len(pairs), np.float32)
    matrix = sp.csr_matrix((ones, (pairs.user, pairs.content)), (num_users, num_items))
    norm = np.sqrt(np.asarray(matrix.sum(0)).ravel())
    unit = matrix @ sp.diags(1 / np.maximum(norm, 1.0))
    cosine = sp.csr_matrix(unit.T @ unit)
    cosine.setdiag(0)
    return _best(cosine)


def _best(matrix: sp.csr_matrix) -> NeighbourTable:
    """The WIDTH greatest entries of each row."""
    matrix.eliminate_zeros()
    offset: NDArray[np.int64] = np.asarray(matrix.indptr, np.int64)
    num_items = len(offset) - 1
    row = np.repeat(np.arange(num_items), np.diff(offset))
    column: NDArray[np.int64] = np.asarray(matrix.indices, np.int64)
    value: NDArray[np.float32] = np.asarray(matrix.data, np.float32)
    order = np.lexsort((column, -value, row))
    row, column, value = row[order], column[order], value[order]
    place = np.arange(len(row)) - offset[row]
    kept = place < WIDTH
    index = np.full((num_items, WIDTH), -1, np.int32)
    weight = np.zeros((num_items, WIDTH), np.float32)
    index[row[kept], place[kept]] = column[kept]
    weight[row[kept], place[kept]] = value[kept]
    return NeighbourTable(index, weight)


@dataclass(frozen=True, slots=True)
class SparseScores:
    """Scores of some contents for each of `B` learners: sorted keys `learner * num_items + content`."""

    key: NDArray[np.int64]  # [n] increasing
    value: NDArray[np.float32]  # [n]
    num_items: int

    def at(self, keys: NDArray[np.int64]) -> NDArray[np.float32]:
        """The score under each key, 0 where there is none; any shape."""
        if not len(self.key):
            return np.zeros(keys.shape, np.float32)
        place = np.minimum(np.searchsorted(self.key, keys), len(self.key) - 1)
        return np.where(self.key[place] == keys, self.value[place], 0).astype(np.float32)


def neighbour_scores(table: NeighbourTable, history: NDArray[np.int32], weight: NDArray[np.float32]) -> SparseScores:
    """Sum over the history `[B, H]` of its `weight` `[B, H]` times the table's weight, for every neighbour."""
    num_items = len(table.index)
    row, column = np.nonzero((history >= 0) & (weight > 0))
    seed = history[row, column]
    neighbour = table.index[seed]  # [n, WIDTH]
    value = table.weight[seed] * weight[row, column][:, None]
    there = neighbour >= 0
    key = (row[:, None] * np.int64(num_items) + neighbour)[there]
    keys, where = np.unique(key, return_inverse=True)
    return SparseScores(keys, np.bincount(where, value[there], len(keys)).astype(np.float32), num_items)
