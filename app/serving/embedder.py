"""The user tower as a deployment: learners in, unit vectors out, for whole batches."""

import asyncio
import importlib

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.models.release import Release
from app.models.user_tower import UserTower
from app.serving.arguments import GraphArguments
from app.serving.stage import StageReplica
from app.settings import prepare_process


class Embedder(StageReplica[UserTower]):
    """TensorFlow lives here and nowhere else in the graph."""

    async def __init__(self, arguments: GraphArguments) -> None:
        self._threads, self._max_batch = arguments.threads_per_stage, arguments.max_batch
        prepare_process()
        # Ten seconds: now, so that a first promotion need not wait for them.
        await asyncio.to_thread(importlib.import_module, "tensorflow")
        await self.start()

    def load(self, release: Release) -> UserTower:
        tower = release.user_tower(num_threads=self._threads)
        tower.warm_up(self._max_batch)
        return tower

    async def embed(
        self, release_id: str, learners: Learners, *, trace: str | None = None
    ) -> NDArray[np.float32] | None:
        """`[B, dim]`; None where the release is not loaded."""
        with self.tracing.asked("embed", trace):
            tower = self.keeper.get(release_id)
            return None if tower is None else await self.compute(tower.embed, learners)
