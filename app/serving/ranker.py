"""The ranker as a deployment. It keeps the catalogue's arrays in memory, so that only indices travel."""

import asyncio
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import Candidates
from app.models.release import Release
from app.models.retrieval import merge_candidates
from app.ports.vector_index import Neighbours
from app.serving.arguments import GraphArguments
from app.serving.drift import FeatureSampler
from app.serving.stage import StageReplica, StageStatus, blank_learners


class _Scorer:
    """One release's ranker beside the arrays it reads."""

    def __init__(self, release: Release, *, threads: int) -> None:
        self.ranker, self.items = release.ranker(num_threads=threads), release.items
        self.sampler = FeatureSampler(self.ranker.bins)

    def score(self, learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates) -> NDArray[np.float32]:
        scores = self.ranker.score(learners, embeddings, candidates, items=self.items, seen=self.sampler.offer)
        return scores.astype(np.float32)


class Ranker(StageReplica[_Scorer]):
    async def __init__(self, arguments: GraphArguments) -> None:
        self._threads, self._num_candidates = arguments.threads_per_stage, arguments.num_candidates
        await self.start()

    def load(self, release: Release) -> _Scorer:
        scorer = _Scorer(release, threads=self._threads)
        for size in (1, 8, 32):
            _warm_up(scorer, release, size=size, num_candidates=self._num_candidates)
        scorer.sampler = FeatureSampler(scorer.ranker.bins)  # without what it was warmed up with
        return scorer

    async def rank(
        self,
        release_id: str,
        learners: Learners,
        embeddings: NDArray[np.float32],
        candidates: Candidates,
        *,
        trace: str | None = None,
    ) -> NDArray[np.float32] | None:
        """`[B, K]`, 0..1, -inf in padding; None where the release is not loaded."""
        with self.tracing.asked("rank", trace):
            scorer = self.keeper.get(release_id)
            return None if scorer is None else await self.compute(scorer.score, learners, embeddings, candidates)

    async def status(self) -> StageStatus:
        """With what it saw of its features, counted on another thread than requests are computed on."""
        status = await super().status()
        held = {release_id: self.keeper.get(release_id) for release_id in status.releases}
        samplers = {release_id: scorer.sampler for release_id, scorer in held.items() if scorer}
        counts = [await asyncio.to_thread(sampler.counts) for sampler in samplers.values()]
        seen = {one: part for one, part in zip(samplers, counts, strict=True) if part is not None}
        return replace(status, features_seen=seen)


def _warm_up(scorer: _Scorer, release: Release, *, size: int, num_candidates: int) -> None:
    learners = blank_learners(release, size)
    nobody = np.full((size, 1), -1, np.int32)
    nearest = Neighbours(nobody, np.full((size, 1), np.inf, np.float32))
    candidates = merge_candidates(release.items, learners, nearest, exclude=nobody, limit=num_candidates)
    scorer.score(learners, np.zeros((size, release.manifest.embedding_dim), np.float32), candidates)
