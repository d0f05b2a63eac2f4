"""The ladder of answers: what each learner of a batch can still be given when something is missing.

full → ranker late or gone: order of retrieval → retriever gone: FAISS, then the sources that need no vectors
→ embedder gone: cached embedding → nothing personal: popular in cohort → popular.
Failures of a stage arrive here as values; the answer says which rung it stands on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import ServedBy

RUNGS = tuple(ServedBy)
"""Position is the code of a rung in arrays, best first."""

LABELS = ("release", "postgres", "redis", "embedder", "retriever", "milvus", "ranker")
"""What `degraded` may name, in the order in which it is named."""

LOOKUPS = frozenset({"release", "postgres", "redis"})
"""Labels that touch every learner; the others touch only those whom the models answer for."""


def is_personal(learners: Learners, *, opted_out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whom the models can say anything about: `[B]`. The others get a cold-start slate."""
    known = (learners.user_index > 0) | (learners.history >= 0).any(axis=1)
    return known & ~opted_out


def rungs(
    personal: NDArray[np.bool_],
    *,
    scored: NDArray[np.bool_],
    proposed: NDArray[np.bool_],
    cohort_index: NDArray[np.int32],
) -> NDArray[np.int8]:
    """Code of the rung each learner stands on, `[B]`.

    `scored`: the ranker has answered for them; `proposed`: retrieval has personal candidates for them.
    """
    popular = np.where(cohort_index > 0, RUNGS.index(ServedBy.POPULAR_IN_COHORT), RUNGS.index(ServedBy.POPULAR))
    retrieved = np.where(personal & proposed, RUNGS.index(ServedBy.RETRIEVAL), popular)
    return np.where(personal & scored, RUNGS.index(ServedBy.RANKER), retrieved).astype(np.int8)


def labels(faults: Sequence[str], *, personal: bool) -> tuple[str, ...]:
    """The faults that made one learner's answer worse, each once, in the order of LABELS."""
    return tuple(name for name in LABELS if name in faults and (personal or name in LOOKUPS))
