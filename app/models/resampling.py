"""Intervals by resampling learners: means, ratios and paired differences from the same resamples (Efron, 1979).

The seed alone decides which learners a resample holds, so figures of two models over the same learners are paired.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = (2.5, 97.5)  # percentiles of a 95% interval
_BLOCK = 50
_EXACT = 12  # decimals of differences: the same lists shall differ by 0, whatever the order of a sum


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95% interval; NaN where nothing was there to count."""

    mean: float
    low: float
    high: float


class Resamples:
    """Columns of one value a learner `[B]`, and their means in DRAWS resamples of the learners."""

    def __init__(self, columns: Mapping[str, NDArray[np.float64]], *, seed: int = 0, draws: int = DRAWS) -> None:
        values = np.stack([np.asarray(column, np.float64) for column in columns.values()], axis=1)
        drawn = _resampled(values, seed=seed, draws=draws)
        self.means = dict(zip(columns, values.mean(0), strict=True))
        self.drawn = dict(zip(columns, drawn.T, strict=True))

    def mean(self, name: str) -> Estimate:
        return _estimate(self.means[name], self.drawn[name])

    def ratio(self, name: str, of: str) -> Estimate:
        """The sum of one column over the sum of another: a mean over whatever the latter counts."""
        if not self.means[of]:
            return Estimate(np.nan, np.nan, np.nan)
        counted = self.drawn[of] > 0
        return _estimate(self.means[name] / self.means[of], self.drawn[name][counted] / self.drawn[of][counted])

    def above(self, other: "Resamples", name: str) -> Estimate:
        """How much higher the column's mean is here than in `other`, paired by learner."""
        gaps = np.round(self.drawn[name] - other.drawn[name], _EXACT)
        return _estimate(np.round(self.means[name] - other.means[name], _EXACT), gaps)


def _resampled(values: NDArray[np.float64], *, seed: int, draws: int) -> NDArray[np.float64]:
    """Means of each column in each resample. `[draws, columns]`."""
    rng = np.random.default_rng(seed)
    n = len(values)
    means = np.empty((draws, values.shape[1]))
    for start in range(0, draws, _BLOCK):
        block = min(_BLOCK, draws - start)
        times = np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(block)])
        means[start : start + block] = times.astype(np.float64) @ values / n
    return means


def _estimate(mean: float, drawn: NDArray[np.float64]) -> Estimate:
    low, high = np.percentile(drawn, LEVEL)
    return Estimate(float(mean), float(low), float(high))
