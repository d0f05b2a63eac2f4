"""Baselines that a model has to beat, on the same split and with the same exclusions.

A baseline is fitted on `Past` and gives `Scores`: for rows of learners a score of every content, higher is better.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from app.features.histories import Histories
from app.features.items import DAY_S, popularity
from app.features.learners import EventArrays
from app.models.nearest import row_blocks

Scores = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""Rows of learners `[b]` -> scores `[b, I]`; call it for a few hundred learners at a time."""


@dataclass(frozen=True)
class Past:
    """What baselines learn from: who met what, once, and in which order if `timed`."""

    pairs: EventArrays  # user = row 0..num_learners-1; first meetings, sorted by learner, then time
    num_learners: int
    num_items: int
    timed: bool

    @cached_property
    def matrix(self) -> sp.csr_matrix:
        """Ones where met. `[num_learners, num_items]`."""
        ones = np.ones(len(self.pairs), np.float32)
        return sp.csr_matrix((ones, (self.pairs.user, self.pairs.content)), (self.num_learners, self.num_items))

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """Learners who met each content. `[num_items]`."""
        return np.bincount(self.pairs.content, minlength=self.num_items)

    @cached_property
    def gram(self) -> sp.csr_matrix:
        """Learners who met both of two contents. `[num_items, num_items]`."""
        return sp.csr_matrix(self.matrix.T @ self.matrix)

    @cached_property
    def last(self) -> NDArray[np.int32]:
        """The content that each learner met last, -1 for those without any. `[num_learners]`."""
        last = np.full(self.num_learners, -1, np.int32)
        last[self.pairs.user] = self.pairs.content  # sorted by time: the latest wins
        return last


def popular(past: Past) -> Scores:
    """What most learners met."""
    return _same_for_all(past.popularity)


def recent_popular(past: Past, *, days: int = 7) -> Scores:
    """What most learners met in the last `days` before training ends; ever, among equals."""
    ts = past.pairs.ts
    recent = past.pairs.content[ts >= ts.max(initial=0) - days * DAY_S]
    return _same_for_all(np.bincount(recent, minlength=past.num_items) + 1e-4 * past.popularity)


def _same_for_all(score: NDArray[np.floating] | NDArray[np.int64]) -> Scores:
    return lambda rows: np.tile(score.astype(np.float32), (len(rows), 1))


def item_knn(past: Past) -> Scores:
    """Sum of cosines between a content and all of the learner's (Sarwar et al., 2001)."""
    return _linear(past, _cosine(past.gram, past.popularity).toarray())


def ease_weights(gram: sp.csr_matrix, *, regularization: float) -> NDArray[np.float32]:
    """Item-item weights of EASE in closed form (Steck, 2019): zero diagonal. `[I, I]`; 20 bytes a cell on the way."""
    ridge = gram.toarray().astype(np.float64)
    ridge[np.diag_indices_from(ridge)] += regularization
    inverse = np.linalg.inv(ridge)
    del ridge
    inverse /= -np.diag(inverse)
    np.fill_diagonal(inverse, 0)
    return inverse.astype(np.float32)


def ease(past: Past, *, regularization: float) -> Scores:
    """See `ease_weights`."""
    return _linear(past, ease_weights(past.gram, regularization=regularization))


def transitions(pairs: EventArrays, *, num_items: int) -> sp.csr_matrix:
    """How often learners met a content (column) right after another (row). `[I, I]`."""
    follows = pairs.user[1:] == pairs.user[:-1]
    cells = (pairs.content[:-1][follows], pairs.content[1:][follows])
    return sp.csr_matrix((np.ones(int(follows.sum()), np.float32), cells), (num_items, num_items))


def markov(past: Past) -> Scores:
    """First order: how often a content followed the learner's last one; the popular first, among equals."""
    steps = _steps(past)
    tie = (1e-3 * past.popularity / max(past.popularity.max(initial=0), 1)).astype(np.float32)
    return lambda rows: steps(rows) + tie


def with_markov(past: Past, likes_of: Scores) -> Scores:
    """Another baseline and first-order Markov, each scaled to the learner's best content, added."""
    steps = _steps(past)

    def scores(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        likes, follows = likes_of(rows), steps(rows)
        likes = likes / np.maximum(likes.max(1, keepdims=True), 1e-9)
        return likes + follows / np.maximum(follows.max(1, keepdims=True), 1)

    return scores


def _steps(past: Past) -> Scores:
    moves = sp.csr_matrix(
        sp.vstack([transitions(past.pairs, num_items=past.num_items), sp.csr_matrix((1, past.num_items))])
    )  # the last row: nothing followed nothing
    return lambda rows: moves[past.last[rows]].toarray().astype(np.float32)


def _linear(past: Past, weights: NDArray[np.float32]) -> Scores:
    return lambda rows: np.asarray(past.matrix[rows] @ weights, np.float32)


def _cosine(gram: sp.csr_matrix, size: NDArray[np.int64]) -> sp.csr_matrix:
    scale = sp.diags((1 / np.sqrt(np.maximum(size, 1))).astype(np.float32))
    cosine = sp.csr_matrix(scale @ gram @ scale)
    cosine.setdiag(0)
    return cosine


def popular_scores(pairs: EventArrays, *, now: int, num_items: int) -> Scores:
    """Every learner gets the contents that most learners met."""
    return _same_for_all(popularity(pairs, now=now, num_items=num_items).total)


def item_knn_scores(pairs: EventArrays, histories: Histories, *, num_items: int) -> Scores:
    """Sum of cosines between a content and all of the learner's (Sarwar et al., 2001); rows are of `histories`."""
    past = Past(pairs, num_learners=int(pairs.user.max(initial=0)) + 1, num_items=num_items, timed=True)
    cosine, met = _cosine(past.gram, past.popularity), histories.matrix(num_items)
    return lambda rows: sp.csr_matrix(met[rows] @ cosine).toarray().astype(np.float32)


def top_lists(
    scores: Scores, rows: NDArray[np.int64], known: Histories, *, num_items: int, limit: int
) -> NDArray[np.int32]:
    """`top` of the learners `rows`, a block of them at a time, without those they know. `[n, limit]`, padding -1."""
    result = np.full((len(rows), limit), -1, np.int32)
    for block in row_blocks(len(rows), num_items):
        index = top(scores(rows[block]), known.part(block.start, block.stop), limit=limit)
        result[block, : index.shape[1]] = index
    return result


def top(scores: NDArray[np.float32], histories: Histories, *, limit: int) -> NDArray[np.int32]:
    """The `limit` best contents of each learner outside their history; among equals the lower index. `[B, limit]`."""
    scores = scores.copy()
    row, content = histories.cells()
    scores[row, content] = -np.inf
    limit = min(limit, scores.shape[1])
    least = -np.partition(-scores, limit - 1, axis=1)[:, limit - 1 : limit]
    above, equal = scores > least, scores == least
    wanted = above | (equal & (np.cumsum(equal, axis=1) <= limit - above.sum(1, keepdims=True)))
    index = np.nonzero(wanted)[1].reshape(len(scores), limit).astype(np.int32)
    score = np.take_along_axis(scores, index, 1)
    order = np.argsort(-score, axis=1, kind="stable")
    return np.where(np.isfinite(np.take_along_axis(score, order, 1)), np.take_along_axis(index, order, 1), -1)
