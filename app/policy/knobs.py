"""The numbers that shape an answer."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Policy:
    """`share`: the part of a request's budget that each stage may use, never more than what is left of it.

    The last stage may use all that is left: nobody comes after it.
    """

    num_candidates: int = 100
    share: dict[str, float] = field(
        default_factory=lambda: {"postgres": 0.25, "redis": 0.25, "embedder": 0.4, "retriever": 0.4, "ranker": 1.0}
    )
    reserve: float = 0.1  # of the budget, kept for composing and sending the answer
