"""What one ingress replica counts of the models: where answers come from, how old they are, what has moved."""

from datetime import datetime
from math import nan

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge

from app.domain.releases import CALIBRATION_ERROR, FULL, SCORE_TO_MET, Manifest
from app.domain.slates import SOURCES
from app.features.drift import FeatureBins
from app.features.ranking import PLAIN_FEATURES
from app.recommend.batch import Tally
from app.serving.drift import MIN_ROWS
from app.serving.families import ArrayHistogram

SCORES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


class ReleaseMetrics:
    """Of the release that is served; what its manifest does not know is not a number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        own = registry
        self._release = Gauge("learnrec_release_info", "The release that is served", ["release"], registry=own)
        self._created = Gauge(
            "learnrec_release_created_timestamp_seconds", "When the release served was published", registry=own
        )
        self._data = Gauge(
            "learnrec_release_data_timestamp_seconds", "Latest event that the release served knows", registry=own
        )
        self._calibration = Gauge(
            "learnrec_release_calibration_error",
            "Distance of the served release's scores from what happened, on its hold-out",
            registry=own,
        )
        self._score_to_met = Gauge(
            "learnrec_release_score_to_met_ratio",
            "Mean score of what the release served would have shown, by the share that was met, on its hold-out",
            registry=own,
        )
        for unknown in (self._created, self._data, self._calibration, self._score_to_met):
            unknown.set(nan)  # 0 would be the oldest release there can be, or a perfect one

    def serving(self, manifest: Manifest) -> None:
        self._release.clear()
        self._release.labels(manifest.release_id).set(1)
        self._created.set(datetime.fromisoformat(manifest.created_at).timestamp())
        self._data.set(datetime.fromisoformat(manifest.data_until).timestamp() if manifest.data_until else nan)
        judged = manifest.metrics.get(FULL, {})
        self._calibration.set(judged.get(CALIBRATION_ERROR, nan))
        self._score_to_met.set(judged.get(SCORE_TO_MET, nan))


class ModelMetrics:
    """Children of labels are made once, here: finding one costs more than counting."""

    def __init__(self, registry: CollectorRegistry) -> None:
        own = registry
        self._release = ReleaseMetrics(own)
        self._lists = Counter("learnrec_candidate_lists", "Learners whom the models answered for", registry=own)
        candidates = Counter("learnrec_candidates", "Candidates ranked, by their source", ["source"], registry=own)
        shown = Counter("learnrec_shown", "Contents shown, by their source", ["source"], registry=own)
        self._candidates = [candidates.labels(source.value) for source in SOURCES]
        self._shown = [shown.labels(source.value) for source in SOURCES]
        self._scores = ArrayHistogram(
            "learnrec_score", "The ranker's score of what is shown first", bounds=SCORES, registry=own
        )
        lookups = Counter(
            "learnrec_cache_lookups",
            "Learners looked up in Redis, by what of and result",
            ["of", "result"],
            registry=own,
        )
        self._recent, self._embedding = (
            (lookups.labels(kind, "hit"), lookups.labels(kind, "miss")) for kind in ("recent_events", "embedding")
        )
        self._psi = Gauge(
            "learnrec_feature_psi", "Population stability index, training to serving", ["feature"], registry=own
        )
        self._drift_rows = Gauge(
            "learnrec_feature_psi_rows", "Candidates lately seen that the indexes are of", registry=own
        )

    def batch(self, tally: Tally) -> None:
        self._lists.inc(tally.personal)
        for counter, number in zip(self._candidates, tally.candidates.tolist(), strict=True):
            counter.inc(number)
        for counter, number in zip(self._shown, tally.shown.tolist(), strict=True):
            counter.inc(number)
        self._scores.add(tally.scores)
        for (hits, misses), number in ((self._recent, tally.with_recent), (self._embedding, tally.with_embedding)):
            hits.inc(number)
            misses.inc(tally.looked_up - number)

    def serving(self, manifest: Manifest) -> None:
        self._release.serving(manifest)
        self._psi.clear()
        self._drift_rows.set(0)

    def drifted(self, bins: FeatureBins, counts: NDArray[np.float64]) -> None:
        """`counts` `[F, NUM_BINS]`, of all rankers together."""
        num_rows = float(counts[0].sum())
        self._drift_rows.set(num_rows)
        if num_rows >= MIN_ROWS:
            for feature, value in zip(PLAIN_FEATURES, bins.index(counts).tolist(), strict=True):
                self._psi.labels(feature).set(value)
