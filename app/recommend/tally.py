"""What a batch found, counted from its arrays: some twenty microseconds, whatever its size."""

import numpy as np
from numpy.typing import NDArray

from app.domain.slates import SOURCES, Candidates, ServedBy
from app.policy.ladder import RUNGS
from app.policy.order import Order
from app.ports.online_features import OnlineLearners
from app.recommend.batch import RequestBatch, Tally
from app.recommend.stages import Fault

_BY_RANKER = RUNGS.index(ServedBy.RANKER)
_NONE = np.zeros(0, np.int8)


def tally(
    batch: RequestBatch,
    order: Order,
    rungs: NDArray[np.int8],
    candidates: Candidates | None,
    *,
    online: OnlineLearners | Fault,
) -> Tally:
    """Of what is shown, of what it was chosen from, and of what Redis knew."""
    asked = np.arange(order.index.shape[1]) < np.array(batch.limits)[:, None]
    known = None if isinstance(online, Fault) else online
    return Tally(
        candidates=_by_source(candidates.source[candidates.index >= 0] if candidates else _NONE),
        shown=_by_source(order.source[(order.index >= 0) & asked]),
        scores=order.score[rungs == _BY_RANKER, 0],
        personal=len(candidates.index) if candidates else 0,
        looked_up=len(known.contents) if known else 0,
        with_recent=sum(1 for contents in known.contents if contents) if known else 0,
        with_embedding=int(np.isfinite(known.embeddings[:, 0]).sum()) if known else 0,
    )


def _by_source(sources: NDArray[np.int8]) -> NDArray[np.int64]:
    return np.bincount(sources, minlength=len(SOURCES))
