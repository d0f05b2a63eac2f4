"""Item-to-item tables: what follows a content, and what is studied by the same learners."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import linalg

from app.features.learners import EventArrays

NEXT_WIDTH, TOGETHER_WIDTH = 50, 100
"""Neighbours kept of a content: the greatest hundred of a full model's weights, both signs, answer as well as all."""

MAX_LINEAR = 8_192
"""Contents, the most met, that the linear model covers: its matrix is dense and inverted."""

RIDGE = 4.0
"""Regularisation of the linear model: a content's is this times the root of its count times the mean root."""


@dataclass(frozen=True, slots=True)
class NeighbourTable:
    """Neighbours of each content as the rows of a compressed sparse matrix."""

    offset: NDArray[np.int64]  # [I + 1]
    index: NDArray[np.int32]  # [offset[-1]] neighbours, of one content from `offset[i]` to `offset[i + 1]`
    weight: NDArray[np.float32]  # [offset[-1]] against one another where below 0

    def __len__(self) -> int:
        return len(self.offset) - 1

    def matrix(self) -> sp.csr_matrix:
        """`[I, I]`, nothing copied."""
        return sp.csr_matrix((self.weight, self.index, self.offset), (len(self), len(self)))

    def widened(self, num_new: int) -> "NeighbourTable":
        """With so many more contents, of which nothing is known."""
        return NeighbourTable(np.r_[self.offset, np.full(num_new, self.offset[-1])], self.index, self.weight)

    @classmethod
    def of(cls, matrix: sp.csr_matrix, *, width: int) -> "NeighbourTable":
        """The `width` entries of each row that are furthest from 0."""
        matrix.eliminate_zeros()
        offset = np.asarray(matrix.indptr, np.int64)
        row = np.repeat(np.arange(len(offset) - 1), np.diff(offset))
        index, weight = np.asarray(matrix.indices, np.int32), np.asarray(matrix.data, np.float32)
        order = np.lexsort((index, -np.abs(weight), row))
        row = row[order]
        kept = np.arange(len(row)) - offset[row] < width
        order, row = order[kept], row[kept]
        size = np.bincount(row, minlength=len(offset) - 1)
        return cls(np.r_[0, np.cumsum(size)], index[order], weight[order])


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
    return NeighbourTable.of(sp.csr_matrix(sp.diags((1 / total).astype(np.float32)) @ matrix), width=NEXT_WIDTH)


def together(pairs: EventArrays, *, num_items: int) -> NeighbourTable:
    """How much a content that a learner met speaks for another: a linear model of sets (EASE: Steck, WWW 2019).

    It covers the MAX_LINEAR contents met most. The others have the cosine of their sets of learners instead (Sarwar
    et al., Item-based collaborative filtering, 2001).
    """
    num_users = int(pairs.user.max(initial=0)) + 1
    ones = np.ones(len(pairs), np.float32)
    met = sp.csr_matrix((ones, (pairs.user, pairs.content)), (num_users, num_items))
    count = np.bincount(pairs.content, minlength=num_items).astype(np.float32)
    head = np.sort(np.argsort(-count, kind="stable")[:MAX_LINEAR])
    head = head[count[head] > 0]
    if not len(head):
        return NeighbourTable.of(sp.csr_matrix((num_items, num_items), dtype=np.float32), width=TOGETHER_WIDTH)
    weights = _spread(_linear(sp.csr_matrix(met[:, head])), head, num_items)
    if len(head) < np.count_nonzero(count):
        weights += _cosine_outside(met, count, head)
    return NeighbourTable.of(weights, width=TOGETHER_WIDTH)


def _linear(met: sp.csr_matrix) -> NDArray[np.float32]:
    """Weights `[n, n]` of the ridge regression of each column on all others, in closed form; zero diagonal.

    The ridge grows with the root of a content's count: between one for all, which holds the rare ones back, and one
    in proportion, which is that of a denoising autoencoder (Steck, Autoencoders that don't overfit, NeurIPS 2020).
    """
    gram = np.asarray((met.T @ met).todense(), np.float32, order="F")
    diagonal = np.diag_indices_from(gram)
    root = np.sqrt(gram[diagonal])
    gram[diagonal] += RIDGE * root.mean() * root
    inverse = np.asarray(linalg.inv(gram, overwrite_a=True, assume_a="pos"), np.float32)
    weights = -inverse / np.diag(inverse)
    weights[diagonal] = 0
    return weights


def _spread(weights: NDArray[np.float32], head: NDArray[np.int64], num_items: int) -> sp.csr_matrix:
    """The greatest entries of each row of the dense block, either sign, at their places in the catalogue."""
    width = min(TOGETHER_WIDTH, len(head))
    column = np.argpartition(-np.abs(weights), width - 1, axis=1)[:, :width]
    value = np.take_along_axis(weights, column, 1)
    row, place = np.nonzero(value)
    at = (head[row], head[column[row, place]])
    return sp.csr_matrix((value[row, place], at), (num_items, num_items), dtype=np.float32)


def _cosine_outside(met: sp.csr_matrix, count: NDArray[np.float32], head: NDArray[np.int64]) -> sp.csr_matrix:
    """Cosines of all pairs of which one at least is outside the head."""
    unit = sp.csr_matrix(met @ sp.diags(1 / np.sqrt(np.maximum(count, 1.0)).astype(np.float32)))
    inside = np.zeros(len(count), np.float32)
    inside[head] = 1
    rare = sp.csr_matrix(unit @ sp.diags(1 - inside))
    outside = sp.csr_matrix(rare.T @ unit) + sp.csr_matrix((unit @ sp.diags(inside)).T @ rare)
    outside.setdiag(0)
    return sp.csr_matrix(outside)
