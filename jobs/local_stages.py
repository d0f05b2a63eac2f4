"""The stages of one release in one process, for bulk: what the service spreads over deployments, without a deadline.

Same models, same stores, same code; the index is FAISS, which holds the vectors that Milvus does.
"""

# ruff: noqa: ARG002  # a stage in this very process needs no deadline, nor who the learners are

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.adapters.faiss_index import FaissIndex
from app.domain.learners import WINDOW, Learners
from app.domain.slates import Candidates
from app.models.release import Release
from app.ports.metadata import LearnerDirectory, LearnerRecords
from app.ports.online_features import OnlineFeatures, OnlineLearners
from app.recommend.stages import Retrieved


class LocalStages:
    """Implements `app.recommend.stages.Stages`."""

    def __init__(
        self, release: Release, *, directory: LearnerDirectory, features: OnlineFeatures, num_threads: int
    ) -> None:
        self._release_id, self._dim = release.release_id, release.manifest.embedding_dim
        self._directory, self._features = directory, features
        self._tower, self._ranker = release.user_tower(num_threads=num_threads), release.ranker(num_threads=num_threads)
        self._index, self._items = FaissIndex(release.faiss_path), release.items

    async def records(self, user_ids: Sequence[str], *, deadline_s: float) -> LearnerRecords:
        return await self._directory.learners(user_ids, window=WINDOW)

    async def online(self, user_ids: Sequence[str], *, deadline_s: float) -> OnlineLearners:
        return await self._features.learners(user_ids, release=self._release_id, dim=self._dim)

    async def embed(self, user_ids: Sequence[str], learners: Learners, *, deadline_s: float) -> NDArray[np.float32]:
        return self._tower.embed(learners)

    async def retrieve(self, queries: NDArray[np.float32], *, limit: int, deadline_s: float) -> Retrieved:
        return Retrieved(self._index.search_now(queries, limit))

    async def rank(
        self, learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates, *, deadline_s: float
    ) -> NDArray[np.float32]:
        return self._ranker.score(learners, embeddings, candidates, items=self._items).astype(np.float32)
