"""Candidates and slates: what retrieval returns and what a learner is shown."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Source(StrEnum):
    """Where a candidate came from; the position is its int8 code in arrays."""

    TWO_TOWER = "two_tower"
    NEXT = "next"  # what followed the learner's last contents
    TOGETHER = "together"  # studied by the same learners
    POPULAR = "popular"
    NEW = "new"


SOURCES = tuple(Source)


class ServedBy(StrEnum):
    """How an answer was made, best first."""

    RANKER = "ranker"
    RETRIEVAL = "retrieval"  # ordered by retrieval score, the ranker being late or gone
    POPULAR_IN_COHORT = "popular_in_cohort"
    POPULAR = "popular"


EVIDENCE = ("following", "together", "together_lately")
"""Item-to-item scores that retrieval computes anyway and ranking reads: from what was last met, ever, and lately."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates of a batch of learners; rows are filled from the left, unused cells hold index -1."""

    index: NDArray[np.int32]  # [B, K] into the release's catalogue
    score: NDArray[np.float32]  # [B, K] retrieval score, higher is better; -inf in padding
    source: NDArray[np.int8]  # [B, K] code of SOURCES
    evidence: NDArray[np.float32]  # [B, K, len(EVIDENCE)] what the sources say of each candidate; 0 in padding


@dataclass(frozen=True, slots=True)
class SlateItem:
    content_id: str
    title: str
    type: str
    score: float
    position: int
    source: str


@dataclass(frozen=True, slots=True)
class Slate:
    """The ordered answer for one learner; `release` is the one that every stage used, None without any."""

    user_id: str
    release: str | None
    items: tuple[SlateItem, ...]
    served_by: ServedBy
    degraded: tuple[str, ...]
