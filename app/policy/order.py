"""What a batch of learners is shown, as arrays: ordering, and filling what is short with what is popular.

An answer is never empty while the catalogue has an item: what was completed comes back only when nothing else is left.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from app.domain.slates import SOURCES, Candidates, Source

_POPULAR = SOURCES.index(Source.POPULAR)


@dataclass(frozen=True, slots=True)
class Order:
    """Best first; rows are filled from the left, unused cells hold index -1."""

    index: NDArray[np.int32]  # [B, N]
    score: NDArray[np.float32]  # [B, N]
    source: NDArray[np.int8]  # [B, N]

    @classmethod
    def empty(cls, num_rows: int, width: int) -> "Order":
        shape = (num_rows, width)
        return cls(np.full(shape, -1, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.int8))


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is popular, for whoever nothing better is known for."""

    popular: NDArray[np.int32]  # [num_cohorts + 1, P] overall (row 0) and by cohort
    popularity: NDArray[np.float32]  # [I] 0..1


def completed_index(
    completed: Sequence[Iterable[str]], index_of: Callable[[Iterable[str]], NDArray[np.int32]]
) -> NDArray[np.int32]:
    """Catalogue indices of what each learner completed, `[B, E]`, padding -1."""
    rows = [list(ids) for ids in completed]
    sizes = np.array([len(row) for row in rows], np.int64)
    matrix = np.full((len(rows), int(sizes.max(initial=0))), -1, np.int32)
    if matrix.size:
        matrix[np.arange(matrix.shape[1])[None, :] < sizes[:, None]] = index_of(chain.from_iterable(rows))
    return matrix


def ordered(candidates: Candidates, scores: NDArray[np.float32], *, limit: int) -> Order:
    """The best `limit` candidates of each learner by `scores` `[B, K]`; what scores -inf or NaN is left out."""
    usable = (candidates.index >= 0) & np.isfinite(scores)
    rank = np.where(usable, scores, -np.inf)
    place = np.argsort(-rank, axis=1, kind="stable")[:, :limit]
    kept = np.take_along_axis(usable, place, 1)
    order = Order.empty(len(scores), limit)
    columns = slice(0, place.shape[1])
    order.index[:, columns] = np.where(kept, np.take_along_axis(candidates.index, place, 1), -1)
    order.score[:, columns] = np.where(kept, np.take_along_axis(scores, place, 1), 0)
    order.source[:, columns] = np.where(kept, np.take_along_axis(candidates.source, place, 1), 0)
    return order


def filled(order: Order, shelf: Shelf, *, cohort_index: NDArray[np.int32], exclude: NDArray[np.int32]) -> Order:
    """`order` with its empty cells filled: popular in the cohort `[B]`, then anything, without `exclude` `[B, E]`."""
    whole = Order(order.index.copy(), order.score.copy(), order.source.copy())
    width = whole.index.shape[1]
    for row in np.flatnonzero((whole.index < 0).any(axis=1)):
        taken = whole.index[row][whole.index[row] >= 0]
        listed = shelf.popular[cohort_index[row] if cohort_index[row] < len(shelf.popular) else 0]
        extra = _without(listed, np.r_[taken, exclude[row]])[: width - len(taken)]
        if len(taken) + len(extra) < width:
            extra = np.r_[extra, _anything(shelf.popularity, np.r_[taken, extra], exclude[row])][: width - len(taken)]
        cells = slice(len(taken), len(taken) + len(extra))
        whole.index[row, cells], whole.score[row, cells] = extra, shelf.popularity[extra]
        whole.source[row, cells] = _POPULAR
    return whole


def _without(index: NDArray[np.int32], banned: NDArray[np.int32]) -> NDArray[np.int32]:
    return index[(index >= 0) & ~np.isin(index, banned)]


def _anything(
    popularity: NDArray[np.float32], taken: NDArray[np.int32], exclude: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The rest of the catalogue, most popular first; excluded contents only if there is nothing else at all."""
    by_popularity = np.argsort(-popularity, kind="stable").astype(np.int32)
    allowed = _without(by_popularity, np.r_[taken, exclude])
    return allowed if len(allowed) or len(taken) else by_popularity
