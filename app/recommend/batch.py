"""A batch of requests, its budget of time, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

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
class Outcome:
    """One slate a request, in order, and how the batch went."""

    slates: tuple[Slate, ...]
    faults: tuple[Fault, ...]
    timings_ms: dict[str, float]  # by stage


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
