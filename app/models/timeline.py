"""The global temporal split: towers learn from the past, the ranker from what came next, the hold-out judges both."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RANKER_SHARE = 0.15
"""Share of the examples before the hold-out, the latest, that train the ranker and that early stopping watches."""

HOLDOUT_SHARE = 0.1
"""Share of all examples, the latest, that nothing is trained on."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Unix seconds; towers train before `ranker_from`, the ranker before `holdout_from`, all data end before `end`."""

    ranker_from: int
    holdout_from: int
    end: int

    @classmethod
    def of(cls, ts: NDArray[np.int64], *, holdout_share: float = HOLDOUT_SHARE) -> "Timeline":
        """From the times of all examples `[n]`; without a hold-out (share 0) `holdout_from` is `end`."""
        end = int(ts.max(initial=0)) + 1
        holdout = int(np.quantile(ts, 1 - holdout_share)) if holdout_share and len(ts) else end
        before = ts[ts < holdout]
        ranker = int(np.quantile(before, 1 - RANKER_SHARE)) if len(before) else holdout
        return cls(ranker_from=ranker, holdout_from=holdout, end=end)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Timeline":
        return cls(**json.loads(path.read_text()))
