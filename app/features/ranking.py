"""Ranking features: one row a learner and candidate, the same in training and in serving.

Schema version FEATURE_SCHEMA; a release carries it, and a ranker of another schema is refused.
"""

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import EVIDENCE, Candidates
from app.features.item_state import Items

FEATURE_SCHEMA = 1

PLAIN_FEATURES = (
    "recency_hours",  # since the content was made
    "item_popularity_score",
    "time_of_day_hour",  # UTC
    "session_position",
    "user_item_affinity",  # dot product of the two embeddings, -1..1
    "item_popularity_trend",
    "retrieval_score",
    *EVIDENCE,
    "tag_affinity",  # share of the learner's recent tags that the candidate carries, per tag
    "difficulty",
    "difficulty_gap",  # candidate minus the learner's recent mean; 0 where either is unknown
    "content_type",
    "type_share",  # share of the learner's history that has the candidate's type
    "num_events",
    "completion_rate",
    "hours_since_last",
)


def feature_names(embedding_dim: int) -> tuple[str, ...]:
    """Names of the columns of `ranking_features`."""
    dims = range(embedding_dim)
    return (*(f"user_embedding_{d}" for d in dims), *(f"item_embedding_{d}" for d in dims), *PLAIN_FEATURES)


def ranking_features(
    learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates, *, items: Items
) -> NDArray[np.float32]:
    """`[B * K, 2 * dim + len(PLAIN_FEATURES)]`; user `embeddings` are `[B, dim]`. Rows of padding are meaningless."""
    num_learners, num_candidates = candidates.index.shape
    dim = embeddings.shape[1]
    index = np.maximum(candidates.index, 0)
    matrix = np.empty((num_learners, num_candidates, 2 * dim + len(PLAIN_FEATURES)), np.float32)
    matrix[:, :, :dim] = embeddings[:, None, :]
    matrix[:, :, dim : 2 * dim] = items.embeddings[index]
    affinity = np.einsum("bd,bkd->bk", embeddings, matrix[:, :, dim : 2 * dim])
    contents = items.contents
    difficulty = contents.difficulty[index]
    columns = (
        np.maximum(learners.now[:, None] - contents.created_at[index], 0) / 3600,
        items.standing.popularity[index],
        ((learners.now % 86_400) / 3600)[:, None],
        learners.session_position[:, None],
        affinity,
        items.standing.trend[index],
        candidates.score,
        *np.moveaxis(candidates.evidence, -1, 0),
        _tag_affinity(learners, index, items=items),
        difficulty,
        _difficulty_gap(learners, difficulty, items=items),
        contents.content_type[index],
        _type_share(learners, index, items=items),
        learners.num_events[:, None],
        learners.completion_rate[:, None],
        np.where(learners.num_events > 0, learners.history_age_s[:, 0] / 3600, -1)[:, None],
    )
    for position, column in enumerate(columns):
        matrix[:, :, 2 * dim + position] = column
    return matrix.reshape(num_learners * num_candidates, -1)


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
