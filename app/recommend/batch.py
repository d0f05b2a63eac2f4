"""A batch of requests, its budget of time, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.domain.slates import Slate
from app.policy.knobs import Policy
from app.recommend.stages import Fault


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Learners asked for together. `deadline`: monotonic seconds, the earliest of theirs."""

    user_ids: tuple[str, ...]  # [B] canonical
    limits: tuple[int, ...]  # [B] items wanted
    deadline: float
    opted_out: tuple[bool, ...] = ()  # [B], or none: whoever is known to have, beside what PostgreSQL says


@dataclass(frozen=True, slots=True)
class Tally:
    """What was found on the way to a batch's slates, to be counted: one for all of the batch."""

    candidates: NDArray[np.int64]  # [len(SOURCES)] that the ranker was given, by where they came from
    shown: NDArray[np.int64]  # [len(SOURCES)]
    scores: NDArray[np.float32]  # [n] by the ranker, of what is shown first
    personal: int  # learners whom the models answered for
    looked_up: int  # learners of whom Redis was asked, and answered
    with_recent: int  # of these, with events of the last hour
    with_embedding: int  # of these, with an embedding of an earlier request


@dataclass(frozen=True, slots=True)
class Outcome:
    """One slate a request, in order, and how the batch went."""

    slates: tuple[Slate, ...]
    faults: tuple[Fault, ...]
    timings_ms: dict[str, float]  # by stage
    tally: Tally | None = None  # None where there was no release


@dataclass(slots=True)
class Budget:
    """What is left of the time, and where it went."""

    policy: Policy
    deadline: float
    clock: Callable[[], float]  # monotonic seconds
    timings_ms: dict[str, float] = field(default_factory=dict)
    _total_s: float = 0.0

    def __post_init__(self) -> None:
        self._total_s = max(self.deadline - self.clock(), 0.0)

    def allow(self, stage: str) -> float:
        """Seconds that the stage may take from now on."""
        left = self.deadline - self.clock() - self.policy.reserve * self._total_s
        return max(0.0, min(left, self.policy.share[stage] * self._total_s))

    def spent(self, stage: str, since: float) -> None:
        """Note that the stage took from `since` until now."""
        self.timings_ms[stage] = round((self.clock() - since) * 1000, 2)
