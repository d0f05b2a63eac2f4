"""Batches of learners and candidates as one matrix, for rivals whose batching only knows arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import HISTORY, Learners
from app.domain.slates import EVIDENCE, Candidates

_LEARNERS: dict[str, tuple[int, Any]] = {
    "user_index": (1, np.int32),
    "cohort_index": (1, np.int32),
    "history": (HISTORY, np.int32),
    "history_age_s": (HISTORY, np.float32),
    "history_strength": (HISTORY, np.float32),
    "num_events": (1, np.float32),
    "completion_rate": (1, np.float32),
    "session_position": (1, np.float32),
    "now": (1, np.int64),
}
_LEARNERS_WIDTH = sum(width for width, _ in _LEARNERS.values())
_CANDIDATE_WIDTH = 3 + len(EVIDENCE)


def pack_learners(learners: Learners) -> NDArray[np.float64]:
    """`[B, W]`; every value survives, as seconds and indices are far below 2^53."""
    columns = [getattr(learners, name) for name in _LEARNERS]
    return np.concatenate([column.reshape(len(learners), -1).astype(np.float64) for column in columns], axis=1)


def unpack_learners(packed: NDArray[np.float64]) -> Learners:
    fields: dict[str, Any] = {}
    at = 0
    for name, (width, kind) in _LEARNERS.items():
        part = packed[:, at : at + width].astype(kind)
        fields[name] = part if width > 1 else part[:, 0]
        at += width
    return Learners(**fields)


def pack_question(learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates) -> NDArray[np.float64]:
    """What a ranker is asked, `[B, W + dim + K * (3 + E)]`."""
    size = len(learners)
    columns = (candidates.index, candidates.score, candidates.source, candidates.evidence)
    flat = [column.reshape(size, -1).astype(np.float64) for column in (embeddings, *columns)]
    return np.concatenate([pack_learners(learners), *flat], axis=1)


def unpack_question(packed: NDArray[np.float64], *, dim: int) -> tuple[Learners, NDArray[np.float32], Candidates]:
    """`dim` of the embeddings; the rest says how many candidates there are."""
    size, start = len(packed), _LEARNERS_WIDTH + dim
    embeddings = packed[:, _LEARNERS_WIDTH:start].astype(np.float32)
    num = (packed.shape[1] - start) // _CANDIDATE_WIDTH
    index, score, source, evidence = np.split(packed[:, start:], [num, 2 * num, 3 * num], axis=1)
    candidates = Candidates(
        index.astype(np.int32),
        score.astype(np.float32),
        source.astype(np.int8),
        evidence.astype(np.float32).reshape(size, num, len(EVIDENCE)),
    )
    return unpack_learners(packed[:, :_LEARNERS_WIDTH]), embeddings, candidates
