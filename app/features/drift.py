"""How far the features that a ranker is given have moved from those that it was trained on.

The measure is the population stability index over the deciles of training (Siddiqi, Credit Risk Scorecards, 2006):
below 0.1 nothing moved, above 0.25 much did.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.features.arrays import load_arrays, save_arrays

BINS_FOLDER = "bins"
"""In the ranker's folder."""

NUM_BINS = 10
LEAST_SHARE = 1e-4
"""Of a bin: an empty one must not make the index infinite."""


@dataclass(frozen=True, slots=True)
class FeatureBins:
    """Deciles of each of PLAIN_FEATURES in training, and the share of the training's rows in each bin.

    Embeddings are left out: their axes turn whenever towers are trained, and that is no drift.
    Deciles that coincide are one: a feature that is mostly zero has fewer bins, and the rest stay empty.
    """

    edges: NDArray[np.float32]  # [F, NUM_BINS - 1] ascending, padded with inf
    share: NDArray[np.float32]  # [F, NUM_BINS]

    @classmethod
    def of(cls, matrix: NDArray[np.float32]) -> "FeatureBins":
        """Of rows of plain features `[n, F]`, at least one."""
        num_features = matrix.shape[1]
        edges = np.full((num_features, NUM_BINS - 1), np.inf, np.float32)
        for feature in range(num_features):
            cuts = np.unique(np.quantile(matrix[:, feature], np.arange(1, NUM_BINS) / NUM_BINS).astype(np.float32))
            edges[feature, : len(cuts)] = cuts
        counts = _counts(matrix, edges)
        return cls(edges, (counts / len(matrix)).astype(np.float32))

    def counts(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """Rows of `matrix` `[n, F]` by bin. `[F, NUM_BINS]`."""
        return _counts(matrix, self.edges)

    def index(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """The population stability index of each feature. `[F]`."""
        expected = np.maximum(self.share.astype(np.float64), LEAST_SHARE)
        actual = np.maximum(counts / np.maximum(counts.sum(1, keepdims=True), 1), LEAST_SHARE)
        return ((actual - expected) * np.log(actual / expected)).sum(1)

    def save(self, folder: Path) -> None:
        save_arrays(folder, self)

    @classmethod
    def load(cls, folder: Path) -> "FeatureBins":
        """Raises NotFound."""
        return load_arrays(folder, cls)


def bins_in(folder: Path) -> FeatureBins | None:
    """Of the ranker in `folder`; None of one from before they were kept."""
    return FeatureBins.load(folder / BINS_FOLDER) if (folder / BINS_FOLDER).is_dir() else None


def _counts(matrix: NDArray[np.float32], edges: NDArray[np.float32]) -> NDArray[np.float64]:
    counts = np.empty((len(edges), NUM_BINS), np.float64)
    for feature, cuts in enumerate(edges):
        at = np.searchsorted(cuts, matrix[:, feature], side="right")
        counts[feature] = np.bincount(at, minlength=NUM_BINS)
    return counts
