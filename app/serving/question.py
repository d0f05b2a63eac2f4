"""What a request asks of the service, and what it is told."""

from dataclasses import dataclass

from opentelemetry.trace import Span

from app.domain.slates import Slate


@dataclass(frozen=True, slots=True)
class Question:
    user_id: str  # canonical
    limit: int
    asked_at: float  # monotonic seconds
    budget_ms: int
    on_trial: bool = False  # to be answered by the release that is, if it can
    span: Span | None = None  # where it is traced

    @property
    def deadline(self) -> float:
        return self.asked_at + self.budget_ms / 1000


@dataclass(frozen=True, slots=True)
class Answer:
    slate: Slate
    timings_ms: dict[str, float]
