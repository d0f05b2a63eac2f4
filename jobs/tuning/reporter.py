"""What a trial tells Tune while it runs."""

from collections.abc import Mapping
from math import inf

from ray import tune

BEST, FINISHED, METRICS = "best", "finished", "metrics"
"""Keys of a report: the best value until now, whether the trial has come to its own end, all its metrics."""


class Reporter:
    """Judges a trial by its best report: that is the state in which its model is kept."""

    def __init__(self, metric: str) -> None:
        self._metric, self._best = metric, -inf

    def report(self, metrics: Mapping[str, float]) -> None:
        """Does not return where the scheduler ends the trial here."""
        self._best = max(self._best, metrics[self._metric])
        tune.report({BEST: self._best, FINISHED: 0.0, METRICS: dict(metrics)})

    def end(self) -> None:
        tune.report({BEST: self._best, FINISHED: 1.0, METRICS: {}})
