"""Ranking features: one row a learner and candidate, the same in training and in serving.

Schema version FEATURE_SCHEMA; a release carries it, and a ranker of another schema is refused.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import EVIDENCE, Candidates
from app.features.item_state import Items

FEATURE_SCHEMA = 3

PLAIN_FEATURES = (
    "recency_hours",  # since the content was made
    "item_popularity_score",
    "time_of_day_hour",  # UTC
    "session_position",
    "user_item_affinity",  # dot product of the two embeddings, -1..1
    "item_popularity_week",
    "item_popularity_month",
    "item_popularity_trend",
    "retrieval_score",
    *EVIDENCE,
    "affinity_gap",  # to the best of the list
    *(f"{name}_share" for name in EVIDENCE),  # of the best of the list
    "tag_affinity",  # share of the learner's recent tags that the candidate carries, per tag
    "difficulty",
    "difficulty_gap",  # candidate minus the learner's recent mean; 0 where either is unknown
    "content_type",
    "type_share",  # share of the learner's history that has the candidate's type
    "num_events",
    "completion_rate",
    "hours_since_last",
)

_BETTER_WHEN_GREATER = (
    "user_item_affinity",
    "item_popularity_score",
    "item_popularity_week",
    "item_popularity_month",
    "retrieval_score",
    *EVIDENCE,
    *(f"{name}_share" for name in EVIDENCE),
    "tag_affinity",
)
DIRECTIONS = {**dict.fromkeys(_BETTER_WHEN_GREATER, 1), "affinity_gap": -1}
"""Features that only speak for a candidate (1) or against it (-1), all else equal: few lists cannot unlearn it."""


def feature_names(num_axes: int) -> tuple[str, ...]:
    """Names of the columns of `ranking_features`."""
    axes = range(num_axes)
    return (*(f"user_embedding_{a}" for a in axes), *(f"item_embedding_{a}" for a in axes), *PLAIN_FEATURES)


def principal_axes(embeddings: NDArray[np.float32], *, limit: int) -> NDArray[np.float32]:
    """The directions along which item embeddings `[I, dim]` are longest, at most `limit`, orthonormal. `[dim, n]`.

    Not centred: dot products are what counts here. The greatest entry of each is positive.
    """
    _, vectors = np.linalg.eigh((embeddings.T @ embeddings).astype(np.float64))
    axes = vectors[:, ::-1][:, :limit]
    return (axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])).astype(np.float32)


@dataclass(frozen=True, slots=True)
class OnAxes:
    """Embeddings as trees see them: on few axes instead of many directions that mean nothing each alone."""

    axes: NDArray[np.float32]  # [dim, n]
    contents: NDArray[np.float32]  # [I, n]

    @classmethod
    def of(cls, axes: NDArray[np.float32], *, items: Items) -> "OnAxes":
        return cls(axes, _projected(items.embeddings, axes))

    def rows(
        self, plain: NDArray[np.float32], embeddings: NDArray[np.float32], index: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Rows of ranking features from `plain` `[B, K, len(PLAIN_FEATURES)]`, for contents `index` `[B, K]`."""
        num_learners, num_candidates, num_plain = plain.shape
        size = self.axes.shape[1]
        matrix = np.empty((num_learners, num_candidates, 2 * size + num_plain), np.float32)
        matrix[:, :, :size] = _projected(embeddings, self.axes)[:, None, :]
        matrix[:, :, size : 2 * size] = self.contents[np.maximum(index, 0)]
        matrix[:, :, 2 * size :] = plain
        return matrix.reshape(num_learners * num_candidates, -1)


def _projected(vectors: NDArray[np.float32], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.einsum("md,da->ma", vectors, axes)  # a row's bits do not depend on how many there are, unlike with BLAS


def ranking_features(
    learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates, *, items: Items, on_axes: OnAxes
) -> NDArray[np.float32]:
    """`[B * K, 2 * n + len(PLAIN_FEATURES)]`; user `embeddings` are `[B, dim]`. Rows of padding are meaningless."""
    plain = plain_features(learners, embeddings, candidates, items=items)
    return on_axes.rows(plain, embeddings, candidates.index)


def plain_features(
    learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates, *, items: Items
) -> NDArray[np.float32]:
    """All but the embeddings, of whole lists: some compare a candidate with the others. `[B, K, P]`."""
    there = candidates.index >= 0
    index = np.maximum(candidates.index, 0)
    affinity = np.einsum("bd,bkd->bk", embeddings, items.embeddings[index])
    best = np.where(there, affinity, -1).max(1, initial=-1, keepdims=True)
    evidence = np.moveaxis(candidates.evidence, -1, 0)
    contents, standing = items.contents, items.standing
    difficulty = contents.difficulty[index]
    columns = (
        np.maximum(learners.now[:, None] - contents.created_at[index], 0) / 3600,
        standing.popularity[index],
        ((learners.now % 86_400) / 3600)[:, None],
        learners.session_position[:, None],
        affinity,
        standing.week[index],
        standing.month[index],
        standing.trend[index],
        candidates.score,
        *evidence,
        best - affinity,
        *(scores / np.maximum(scores.max(1, initial=0, keepdims=True), 1e-9) for scores in evidence),
        _tag_affinity(learners, index, items=items),
        difficulty,
        _difficulty_gap(learners, difficulty, items=items),
        contents.content_type[index],
        _type_share(learners, index, items=items),
        learners.num_events[:, None],
        learners.completion_rate[:, None],
        np.where(learners.num_events > 0, learners.history_age_s[:, 0] / 3600, -1)[:, None],
    )
    plain = np.empty((*index.shape, len(PLAIN_FEATURES)), np.float32)
    for position, column in enumerate(columns):
        plain[:, :, position] = column
    return plain


def _tag_affinity(learners: Learners, index: NDArray[np.int32], *, items: Items) -> NDArray[np.float32]:
    tags = items.contents.tags
    num_tags = int(tags.max(initial=-1)) + 1
    if num_tags == 0:
        return np.zeros(index.shape, np.float32)
    seen = tags[np.maximum(learners.history, 0)]  # [B, H, T]
    weight = np.where((seen >= 0) & (learners.history >= 0)[:, :, None], learners.history_strength[:, :, None], 0)
    row = np.broadcast_to(np.arange(len(learners))[:, None, None], seen.shape)
    flat = np.bincount((row * num_tags + np.maximum(seen, 0)).ravel(), weight.ravel(), len(learners) * num_tags)
    profile = flat.reshape(len(learners), num_tags)
    profile /= np.maximum(profile.sum(1, keepdims=True), 1e-9)
    carried = tags[index]  # [B, K, T]
    rows = np.arange(len(learners))[:, None, None]
    shares = np.where(carried >= 0, profile[rows, np.maximum(carried, 0)], 0)
    return (shares.sum(-1) / np.maximum((carried >= 0).sum(-1), 1)).astype(np.float32)


def _difficulty_gap(learners: Learners, difficulty: NDArray[np.float32], *, items: Items) -> NDArray[np.float32]:
    met = np.where(learners.history >= 0, items.contents.difficulty[np.maximum(learners.history, 0)], 0)
    known = (met > 0).sum(1)
    mean = met.sum(1) / np.maximum(known, 1)
    return np.where((difficulty > 0) & (known > 0)[:, None], difficulty - mean[:, None], 0).astype(np.float32)


def _type_share(learners: Learners, index: NDArray[np.int32], *, items: Items) -> NDArray[np.float32]:
    kinds = items.contents.content_type
    there = learners.history >= 0
    met = np.where(there, kinds[np.maximum(learners.history, 0)], -1)
    same = met[:, None, :] == kinds[index][:, :, None]
    return (same.sum(-1) / np.maximum(there.sum(1), 1)[:, None]).astype(np.float32)
