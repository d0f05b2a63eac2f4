"""Ranked lists for many learners: the serving stages in one process, for evaluation and for bulk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import Candidates
from app.features.examples import take_learners
from app.features.histories import Histories
from app.features.item_state import Items
from app.models.nearest import nearest_items
from app.models.ranker import Ranker
from app.models.retrieval import merge_candidates

BATCH = 256


class Embeds(Protocol):
    def embed(self, learners: Learners) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class RankedLists:
    """Lists of a batch of learners, best first, and the candidates that they were made from."""

    index: NDArray[np.int32]  # [B, K] catalogue index, -1 padding
    score: NDArray[np.float32]  # [B, K]
    source: NDArray[np.int8]  # [B, K]
    candidate_rank: NDArray[np.int32]  # [B, K] 1 was the best of the candidates
    retrieved: NDArray[np.int32]  # [B, K] the candidates in order of retrieval


def ranked_lists(
    learners: Learners, histories: Histories, *, towers: Embeds, items: Items, ranker: Ranker, depth: int = 100
) -> Iterator[RankedLists]:
    """`depth` contents for each learner outside their history, BATCH learners at a time."""
    for start in range(0, len(learners), BATCH):
        part = take_learners(learners, slice(start, start + BATCH))
        exclude = histories.part(start, min(start + BATCH, len(learners))).padded()
        embeddings = towers.embed(part)
        nearest = nearest_items(embeddings, items.embeddings, limit=depth + exclude.shape[1])
        candidates = merge_candidates(items, part, nearest, exclude=exclude, limit=depth)
        yield _order(candidates, ranker.score(part, embeddings, candidates, items=items))


def _order(candidates: Candidates, scores: NDArray[np.float32]) -> RankedLists:
    order = np.argsort(-scores, axis=1, kind="stable")
    return RankedLists(
        index=np.take_along_axis(candidates.index, order, 1),
        score=np.take_along_axis(scores, order, 1),
        source=np.take_along_axis(candidates.source, order, 1),
        candidate_rank=(order + 1).astype(np.int32),
        retrieved=candidates.index,
    )
