"""Candidates: what several sources propose for a batch of learners, merged, without what is excluded."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import EVIDENCE, SOURCES, Candidates, Source
from app.features.item_state import Items
from app.features.neighbours import SparseScores, neighbour_scores
from app.ports.vector_index import Neighbours

QUOTA = {Source.TWO_TOWER: 100, Source.NEXT: 100, Source.TOGETHER: 100, Source.POPULAR: 50, Source.NEW: 10}
"""Candidates that a source may propose for a learner."""

LEVELS, ROUNDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5), 2
"""Weights of a source that are tried beside the others', and how often all are gone through."""

FUSION_OFFSET = 20.0
"""Of reciprocal rank fusion (Cormack et al., SIGIR 2009), smaller than customary: the first places matter here."""

NEXT_FADING, LATELY_FADING = 0.6, 0.9
"""What a content counts for, of one place more recent: for what follows, and for what goes together."""


@dataclass(frozen=True, slots=True)
class _Proposals:
    """Proposals of one source for a whole batch, flat: entry i proposes key[i] at rank[i] (0 is best)."""

    source: Source
    key: NDArray[np.int64]  # learner row * num_items + content
    rank: NDArray[np.int64]


def merge_candidates(
    items: Items, learners: Learners, nearest: Neighbours, *, exclude: NDArray[np.int32], limit: int
) -> Candidates:
    """The best `limit` contents for each of `B` learners, by fused rank over all sources.

    `nearest` `[B, n]` are the two-tower's; `exclude` `[B, E]` (padding -1) and the learner's history never come back.
    """
    proposals, evidence = _ask(items, learners, nearest, exclude)
    key, score, source = _fuse(proposals, items.weights)
    return _cut(key, score, source, evidence=evidence, shape=(len(learners), limit))


def source_weights(
    items: Items, learners: Learners, nearest: Neighbours, content: NDArray[np.int32]
) -> NDArray[np.float32]:
    """What each source counts for when the fused lists rank best what learners `[B]` met next, `content` `[B]`.

    By coordinate ascent on NDCG, from the cube of each source's own: a poor source's reciprocal ranks would crowd out
    a good one's. `[len(SOURCES)]`, 1 for the greatest.
    """
    proposals, _ = _ask(items, learners, nearest, np.full((len(learners), 0), -1, np.int32))
    key, at = np.unique(np.concatenate([p.key for p in proposals]), return_inverse=True)
    gain = np.zeros((len(key), len(SOURCES)), np.float32)
    for proposal, part in zip(proposals, np.split(at, np.cumsum([len(p.key) for p in proposals])[:-1]), strict=True):
        gain[part, SOURCES.index(proposal.source)] = 1 / (FUSION_OFFSET + proposal.rank)
    row = key // len(items)
    met = np.flatnonzero(np.isin(key, np.arange(len(learners)) * np.int64(len(items)) + content))

    def quality(weights: NDArray[np.float32]) -> float:
        score = gain @ weights
        bar = np.full(len(learners), np.inf, np.float32)
        bar[row[met]] = score[met]
        rank = np.bincount(row[score > bar[row]], minlength=len(learners))[row[met]]
        return float((1 / np.log2(rank + 2))[score[met] > 0].sum())

    alone = np.array([quality(weights) for weights in np.eye(len(SOURCES), dtype=np.float32)])
    weights = np.maximum((alone / max(alone.max(), 1e-9)) ** 3, LEVELS[0]).astype(np.float32)
    best = quality(weights)
    for source in np.tile(np.argsort(-alone), ROUNDS):
        for level in LEVELS:
            tried = weights.copy()
            tried[source] = level
            if (found := quality(tried)) > best:
                best, weights = found, tried
    return weights / weights.max()


Evidence = tuple[SparseScores, ...]


def _ask(
    items: Items, learners: Learners, nearest: Neighbours, exclude: NDArray[np.int32]
) -> tuple[list[_Proposals], Evidence]:
    """What every source proposes, and the item-to-item scores behind it."""
    num_items, size = len(items), len(learners)
    following = neighbour_scores(items.following, _lately(learners, NEXT_FADING, num_items))
    ever = neighbour_scores(items.together, _ever(items, learners))
    lately = neighbour_scores(items.together, _lately(learners, LATELY_FADING, num_items))
    barred = np.unique(_keys(np.concatenate([learners.history, exclude], axis=1), num_items))
    in_order = {
        Source.TWO_TOWER: _keys(nearest.index, num_items),
        Source.NEXT: following.without(barred).best(size, QUOTA[Source.NEXT]),
        Source.TOGETHER: ever.without(barred).best(size, QUOTA[Source.TOGETHER]),
        Source.POPULAR: _keys(_popular(items, learners), num_items),
        Source.NEW: _keys(np.tile(items.standing.newest, (size, 1)), num_items),
    }
    proposals = [_propose(source, keys, barred, num_items) for source, keys in in_order.items()]
    return proposals, (following, ever, lately)


def _lately(learners: Learners, rate: float, num_items: int) -> sp.csr_matrix:
    """Weight of what is in the history: its strength, times `rate` for every place further back. `[B, I]`."""
    row, place = np.nonzero(learners.history >= 0)
    weight = learners.history_strength[row, place] * np.power(rate, place)
    at = (row, learners.history[row, place])
    return sp.csr_matrix((weight.astype(np.float32), at), (len(learners), num_items))


def _ever(items: Items, learners: Learners) -> sp.csr_matrix:
    """Ones where the learner met the content, in the history or as the release remembers. `[B, I]`."""
    known = np.where(learners.user_index < len(items.memory), learners.user_index, 0)
    met = items.memory.take(known).matrix(len(items)) + (_lately(learners, 1.0, len(items)) > 0)
    return sp.csr_matrix(met > 0, dtype=np.float32)


def _popular(items: Items, learners: Learners) -> NDArray[np.int32]:
    """The cohort's most popular, then the overall ones that are not among them. `[B, quota]`."""
    popular = items.standing.popular
    half = QUOTA[Source.POPULAR] // 2
    own = popular[np.minimum(learners.cohort_index, len(popular) - 1), :half]
    overall = popular[:1, : QUOTA[Source.POPULAR] - half]
    repeated = (overall[:, :, None] == own[:, None, :]).any(-1)
    return np.concatenate([own, np.where(repeated, -1, overall)], axis=1)


def _keys(index: NDArray[np.int32], num_items: int) -> NDArray[np.int64]:
    row, column = np.nonzero(index >= 0)
    return row * np.int64(num_items) + index[row, column]


def _propose(source: Source, key: NDArray[np.int64], barred: NDArray[np.int64], num_items: int) -> _Proposals:
    """`key` best first within each learner: what is barred takes no part of the quota."""
    key = key[~np.isin(key, barred)]
    row = key // num_items
    rank = np.arange(len(key)) - np.searchsorted(row, row, side="left")
    kept = rank < QUOTA[source]
    return _Proposals(source, key[kept], rank[kept])


def _fuse(
    proposals: list[_Proposals], weights: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int8]]:
    """Unique keys, their fused scores, and for each the source that gave most of it."""
    key = np.concatenate([p.key for p in proposals])
    gain = np.concatenate([weights[SOURCES.index(p.source)] / (FUSION_OFFSET + p.rank) for p in proposals])
    source = np.concatenate([np.full(len(p.key), SOURCES.index(p.source), np.int8) for p in proposals])
    order = np.lexsort((source, -gain, key))
    key, gain, source = key[order], gain[order], source[order]
    head = np.flatnonzero(np.r_[True, key[1:] != key[:-1]][: len(key)])
    score = np.add.reduceat(gain, head) if len(head) else gain
    return key[head], score.astype(np.float32), source[head]


def _cut(
    key: NDArray[np.int64],
    score: NDArray[np.float32],
    source: NDArray[np.int8],
    *,
    evidence: Evidence,
    shape: tuple[int, int],
) -> Candidates:
    num_items = evidence[0].num_items
    row = key // num_items
    order = np.lexsort((key, -score, row))
    key, row, score, source = key[order], row[order], score[order], source[order]
    place = np.arange(len(row)) - np.searchsorted(row, row, side="left")
    kept = place < shape[1]
    key, at = key[kept], (row[kept], place[kept])
    candidates = Candidates(
        index=np.full(shape, -1, np.int32),
        score=np.full(shape, -np.inf, np.float32),
        source=np.zeros(shape, np.int8),
        evidence=np.zeros((*shape, len(EVIDENCE)), np.float32),
    )
    candidates.index[at] = key % num_items
    candidates.score[at] = score[kept]
    candidates.source[at] = source[kept]
    candidates.evidence[at] = np.stack([scores.at(key) for scores in evidence], axis=-1)
    return candidates
