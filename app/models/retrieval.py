"""Candidates: what several sources propose for a batch of learners, merged, without what is excluded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import HISTORY, Learners
from app.domain.slates import EVIDENCE, SOURCES, Candidates, Source
from app.features.item_state import Items
from app.features.scores import KeySet, SparseScores, best_in_rows, neighbour_scores
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
    key, gain = _gains(proposals)
    return _cut(key, gain * items.weights, evidence=evidence, shape=(len(learners), limit))


def source_weights(
    items: Items, learners: Learners, nearest: Neighbours, content: NDArray[np.int32]
) -> NDArray[np.float32]:
    """What each source counts for when the fused lists rank best what learners `[B]` met next, `content` `[B]`.

    By coordinate ascent on NDCG, from the cube of each source's own: a poor source's reciprocal ranks would crowd out
    a good one's. `[len(SOURCES)]`, 1 for the greatest.
    """
    proposals, _ = _ask(items, learners, nearest, np.full((len(learners), 0), -1, np.int32))
    key, gain = _gains(proposals)
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
    recent, place = _recent(learners, num_items)
    strength = learners.history_strength[learners.history >= 0]
    (following,) = neighbour_scores(items.following, recent, [_faded(strength, place, NEXT_FADING)], num_learners=size)
    met, lately = _ever(items, learners, recent, _faded(strength, place, LATELY_FADING))
    ever, now = neighbour_scores(items.together, met, [np.ones(len(met), np.float32), lately], num_learners=size)
    barred = KeySet(np.concatenate([recent, _keys(exclude, num_items)]), space=size * num_items)
    in_order = {
        Source.TWO_TOWER: _keys(nearest.index, num_items),
        Source.NEXT: following.without(barred).best(size, QUOTA[Source.NEXT]),
        Source.TOGETHER: ever.without(barred).best(size, QUOTA[Source.TOGETHER]),
        Source.POPULAR: _keys(_popular(items, learners), num_items),
        Source.NEW: _keys(np.broadcast_to(items.standing.newest, (size, len(items.standing.newest))), num_items),
    }
    proposals = [_propose(source, keys, barred, num_items) for source, keys in in_order.items()]
    return proposals, (following, ever, now)


def _recent(learners: Learners, num_items: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys of what is in the histories, and how many places back each lies."""
    row, place = np.nonzero(learners.history >= 0)
    return row * np.int64(num_items) + learners.history[row, place], place


def _faded(strength: NDArray[np.float32], place: NDArray[np.int64], rate: float) -> NDArray[np.float32]:
    """`strength`, times `rate` for every place further back."""
    return (strength * np.power(rate, np.arange(HISTORY))[place]).astype(np.float32)


def _ever(
    items: Items, learners: Learners, recent: NDArray[np.int64], weight: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Keys, increasing, of what each learner met, in the history or as the release remembers; weights of the recent."""
    known = np.where(learners.user_index < len(items.memory), learners.user_index, 0).astype(np.int32)
    row, content = items.memory.take(known).cells()
    met = np.unique(np.concatenate([recent, row * np.int64(len(items)) + content]))
    weights = np.zeros(len(met), np.float32)
    weights[np.searchsorted(met, recent)] = weight
    return met, weights


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


def _propose(source: Source, key: NDArray[np.int64], barred: KeySet, num_items: int) -> _Proposals:
    """`key` best first within each learner: what is barred takes no part of the quota."""
    key = key[~barred.has(key)]
    row = key // num_items
    rank = np.arange(len(key)) - np.searchsorted(row, row, side="left")
    kept = rank < QUOTA[source]
    return _Proposals(source, key[kept], rank[kept])


def _gains(proposals: list[_Proposals]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Keys, increasing, that any source proposes, and the reciprocal rank that each gives them. `[n, len(SOURCES)]`."""
    key, at = np.unique(np.concatenate([p.key for p in proposals]), return_inverse=True)
    gain = np.zeros((len(key), len(SOURCES)), np.float32)
    for proposal, part in zip(proposals, np.split(at, np.cumsum([len(p.key) for p in proposals])[:-1]), strict=True):
        gain[part, SOURCES.index(proposal.source)] = 1 / (FUSION_OFFSET + proposal.rank)
    return key, gain


def _cut(
    key: NDArray[np.int64], gain: NDArray[np.float32], *, evidence: Evidence, shape: tuple[int, int]
) -> Candidates:
    """The best of each learner by the sum of `gain` `[n, len(SOURCES)]`; named for the source that gave most."""
    num_items = evidence[0].num_items
    score = gain.sum(1)
    best, place = best_in_rows(key, score, num_learners=shape[0], num_items=num_items, limit=shape[1])
    kept = key[best]
    at = (kept // num_items, place)
    candidates = Candidates(
        index=np.full(shape, -1, np.int32),
        score=np.full(shape, -np.inf, np.float32),
        source=np.zeros(shape, np.int8),
        evidence=np.zeros((*shape, len(EVIDENCE)), np.float32),
    )
    candidates.index[at] = kept % num_items
    candidates.score[at] = score[best]
    candidates.source[at] = gain[best].argmax(1)
    candidates.evidence[at] = np.stack([scores.at(kept) for scores in evidence], axis=-1)
    return candidates
