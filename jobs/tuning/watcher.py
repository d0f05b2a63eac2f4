"""Follows the trials of a sweep: what they report, and how each ends."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ray import tune

from jobs.tuning.records import TrialRecord
from jobs.tuning.reporter import FINISHED, METRICS

OnReport = Callable[[int, dict[str, float]], None]
OnRecord = Callable[[TrialRecord], None]
MAX_ERROR_LENGTH = 500


@dataclass(slots=True)
class _Open:
    """A trial under way."""

    number: int
    began: float
    curve: list[dict[str, float]] = field(default_factory=list)


class Watcher(tune.Callback):
    """`on_report(number, metrics)` hears every report, `on_record` every trial that has ended by itself or by ASHA."""

    def __init__(self, metric: str, *, first_number: int, on_report: OnReport, on_record: OnRecord) -> None:
        self._metric, self._next = metric, first_number
        self._on_report, self._on_record = on_report, on_record
        self._open: dict[str, _Open] = {}
        self.num_ended = 0

    def __reduce__(self) -> tuple[type[tune.Callback], tuple[()]]:
        """Tune stores its callbacks with the sweep; nothing reads them there."""
        return tune.Callback, ()

    def on_trial_start(self, *_: Any, trial: Any, **__: Any) -> None:
        if trial.trial_id not in self._open:
            self._open[trial.trial_id] = _Open(self._next, time.monotonic())
            self._next += 1

    def on_trial_result(self, *_: Any, trial: Any, result: dict[str, Any], **__: Any) -> None:
        metrics = {str(name): float(value) for name, value in result[METRICS].items()}
        if metrics:
            one = self._open[trial.trial_id]
            one.curve.append(metrics)
            self._on_report(one.number, metrics)

    def on_trial_complete(self, *_: Any, trial: Any, **__: Any) -> None:
        self._end(trial, "finished" if trial.last_result.get(FINISHED) else "stopped")

    def on_trial_error(self, *_: Any, trial: Any, **__: Any) -> None:
        file = Path(trial.error_file) if trial.error_file else None  # here; in the storage it will be later
        told = file.read_text().strip().splitlines() if file and file.exists() else ["it ended without a word"]
        self._end(trial, "failed", error=told[-1][:MAX_ERROR_LENGTH])

    def _end(self, trial: Any, state: Any, *, error: str = "") -> None:
        one = self._open.pop(trial.trial_id)
        self.num_ended += 1
        self._on_record(
            TrialRecord(
                number=one.number,
                params=trial.config,
                state=state,
                metric=self._metric,
                curve=one.curve,
                seconds=round(time.monotonic() - one.began, 2),
                error=error,
            )
        )
