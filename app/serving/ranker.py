"""The ranker as a deployment. It keeps the catalogue's arrays in memory, so that only indices travel."""

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import Candidates
from app.models.release import Release
from app.models.retrieval import merge_candidates
from app.ports.vector_index import Neighbours
from app.serving.arguments import GraphArguments
from app.serving.stage import StageReplica, blank_learners


class _Scorer:
    """One release's ranker beside the arrays it reads."""

    def __init__(self, release: Release, *, threads: int) -> None:
        self.ranker, self.items = release.ranker(num_threads=threads), release.items

    def score(self, learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates) -> NDArray[np.float32]:
        return self.ranker.score(learners, embeddings, candidates, items=self.items).astype(np.float32)


class Ranker(StageReplica[_Scorer]):
    async def __init__(self, arguments: GraphArguments) -> None:
        self._threads, self._num_candidates = arguments.threads_per_stage, arguments.num_candidates
        await self.start()

    def load(self, release: Release) -> _Scorer:
        scorer = _Scorer(release, threads=self._threads)
        for size in (1, 8, 32):
            _warm_up(scorer, release, size=size, num_candidates=self._num_candidates)
        return scorer

    async def rank(
        self, release_id: str, learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates
    ) -> NDArray[np.float32] | None:
        """`[B, K]`, 0..1, -inf in padding; None where the release is not loaded."""
        scorer = self.keeper.get(release_id)
        return None if scorer is None else await self.compute(scorer.score, learners, embeddings, candidates)


def _warm_up(scorer: _Scorer, release: Release, *, size: int, num_candidates: int) -> None:
    learners = blank_learners(release, size)
    nobody = np.full((size, 1), -1, np.int32)
    nearest = Neighbours(nobody, np.full((size, 1), np.inf, np.float32))
    candidates = merge_candidates(release.items, learners, nearest, exclude=nobody, limit=num_candidates)
    scorer.score(learners, np.zeros((size, release.manifest.embedding_dim), np.float32), candidates)
