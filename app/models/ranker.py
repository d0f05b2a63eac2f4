"""The ranker as served: gradient-boosted trees over ranking features, calibrated to 0..1."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import Candidates
from app.errors import Conflict, NotFound
from app.features.drift import BINS_FOLDER, FeatureBins, bins_in
from app.features.item_state import Items
from app.features.ranking import FEATURE_SCHEMA, OnAxes, feature_names, ranking_features

BOOSTER_FILE, RANKER_FILE, AXES_FILE = "ranker.ubj", "ranker.json", "axes.npy"


class Ranker:
    """Scores candidates. Calibration is Platt's sigmoid over the booster's margin: it keeps the order (Platt, 1999)."""

    def __init__(
        self,
        booster: xgb.Booster,
        *,
        axes: NDArray[np.float32],
        slope: float,
        intercept: float,
        bins: FeatureBins | None = None,
    ) -> None:
        """`axes` `[dim, n]` are of the embeddings that the booster was fitted on, `bins` of its plain features."""
        self.booster, self.axes, self.bins = booster, axes, bins
        self.slope, self.intercept = slope, intercept
        self._seen: tuple[Items, OnAxes] | None = None

    def score(
        self,
        learners: Learners,
        embeddings: NDArray[np.float32],
        candidates: Candidates,
        *,
        items: Items,
        seen: Callable[[NDArray[np.float32], Candidates], None] | None = None,
    ) -> NDArray[np.float32]:
        """Chance that the learner wants each candidate, 0..1; -inf in padding. `[B, K]`.

        `seen` is told the features.
        """
        matrix = ranking_features(learners, embeddings, candidates, items=items, on_axes=self._on_axes(items))
        if seen is not None:
            seen(matrix, candidates)
        return np.where(candidates.index >= 0, self.score_rows(matrix).reshape(candidates.index.shape), -np.inf)

    def _on_axes(self, items: Items) -> OnAxes:
        """A catalogue is put on the axes once."""
        seen = self._seen
        if seen is None or seen[0] is not items:
            seen = self._seen = (items, OnAxes.of(self.axes, items=items))
        return seen[1]

    def score_rows(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """`[n, num_features]` to calibrated scores `[n]`."""
        margin = self.booster.inplace_predict(matrix, predict_type="margin")
        return (1 / (1 + np.exp(-(self.slope * margin + self.intercept)))).astype(np.float32)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.booster.save_model(folder / BOOSTER_FILE)
        np.save(folder / AXES_FILE, self.axes, allow_pickle=False)
        if self.bins is not None:
            self.bins.save(folder / BINS_FOLDER)
        names = feature_names(self.axes.shape[1])
        described = {
            "feature_schema": FEATURE_SCHEMA,
            "features": names,
            "slope": self.slope,
            "intercept": self.intercept,
        }
        (folder / RANKER_FILE).write_text(json.dumps(described))

    @classmethod
    def load(cls, folder: Path, *, num_threads: int = 1) -> "Ranker":
        """Raises NotFound: no ranker there. Conflict: it was made for other features."""
        if not (folder / RANKER_FILE).exists():
            raise NotFound(f"{folder} holds no ranker: run the job train_ranking")
        described = json.loads((folder / RANKER_FILE).read_text())
        if described["feature_schema"] != FEATURE_SCHEMA:
            raise Conflict(
                f"the ranker in {folder} reads feature schema {described['feature_schema']}, this code makes "
                f"{FEATURE_SCHEMA}: train it again, or run the version that made it"
            )
        booster = xgb.Booster({"nthread": num_threads})
        booster.load_model(folder / BOOSTER_FILE)
        axes = np.load(folder / AXES_FILE)
        bins = bins_in(folder)
        return cls(booster, axes=axes, slope=described["slope"], intercept=described["intercept"], bins=bins)
