"""What the three stages have in common: releases, one thread to compute on, and how they are."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.adapters.tracing import Tracing
from app.domain.learners import Learners
from app.errors import Unavailable
from app.features.learners import learner_features, windows_from_rows
from app.models.release import Release
from app.serving.calls import replica_id
from app.serving.json_log import set_up
from app.serving.keeper import ReleaseKeeper
from app.settings import Settings, load_settings, prepare_process

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class StageStatus:
    """What a replica says of itself."""

    releases: tuple[str, ...]  # loaded and warm
    faults: dict[str, str]  # dependency -> why it does not answer
    unused: frozenset[str] = frozenset()  # dependencies that it never asks, by its settings
    features_seen: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # by release, as FeatureBins counts


class StageReplica(ABC, Generic[T]):
    """Base of the stages. Computing happens on one thread, so that the event loop always answers health checks."""

    settings: Settings
    tracing: Tracing
    keeper: ReleaseKeeper[T]

    async def start(self) -> None:
        """Last line of every stage's constructor: a replica is ready when it is warm."""
        prepare_process()
        self.settings = load_settings()
        set_up(type(self).__name__.lower(), replica_id())
        self.tracing = Tracing.of(self.settings, service=f"learnrec-{type(self).__name__.lower()}")
        self.loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="stage")
        self.keeper = ReleaseKeeper(self.settings, self.load, drop=self.drop)
        await asyncio.to_thread(self.keeper.start)

    @abstractmethod
    def load(self, release: Release) -> T:
        """What this stage serves from, warmed up; runs on the keeper's thread."""

    def drop(self, served: T) -> None:
        """Free what `load` made; runs on the keeper's thread."""

    async def compute(self, function: Callable[..., R], *arguments: object) -> R:
        return await self.loop.run_in_executor(self._executor, function, *arguments)

    async def status(self) -> StageStatus:
        return StageStatus(self.keeper.held, {"mlflow": self.keeper.fault} if self.keeper.fault else {})

    async def check_health(self) -> None:
        """Raises Unavailable, so that Serve replaces the replica: it could not take up a release any more."""
        if not self.keeper.alive:
            raise Unavailable(type(self).__name__, "the thread that watches for releases has ended")


def blank_learners(release: Release, size: int) -> Learners:
    """Learners of whom nothing is known: good enough to warm a stage up."""
    now, unknown = np.full(size, int(time.time()), np.int64), np.zeros(size, np.int32)
    windows = windows_from_rows([[]] * size, [[]] * size, [[]] * size, catalogue=release.catalogue, now=now)
    return learner_features(windows, user_index=unknown, cohort_index=unknown)
