"""The numbers that shape an answer."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Policy:
    """`share`: the part of a request's budget that each stage may use, never more than what is left of it."""

    num_candidates: int = 100
    share: dict[str, float] = field(
        default_factory=lambda: {"postgres": 0.2, "redis": 0.2, "embedder": 0.4, "retriever": 0.3, "ranker": 0.3}
    )
    reserve: float = 0.05  # of the budget, kept for composing and sending the answer
