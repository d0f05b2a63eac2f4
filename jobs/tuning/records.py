"""What is remembered of a sweep: one file a trial that has ended, written once. That is all that a resumed one needs.

Tune's own state is pickled, written every ten seconds at best and knows no scheduler; these are JSON, written at once.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from pydantic import BaseModel, ConfigDict

from app.adapters.object_store import ObjectStore
from jobs.tuning.space import Scalar


class TrialRecord(BaseModel):
    """One trial that has ended; version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    number: int
    params: dict[str, Scalar]
    state: Literal["finished", "stopped", "failed"]  # stopped: early, others did better
    metric: str
    curve: list[dict[str, float]] = []  # by report
    seconds: float
    error: str = ""

    @property
    def best(self) -> list[float]:
        """The best value of the metric until each report."""
        return list(accumulate((point[self.metric] for point in self.curve), max))

    @property
    def value(self) -> float | None:
        return self.best[-1] if self.curve else None

    @property
    def best_at(self) -> int:
        """The report with the best value, from 1."""
        return self.best.index(self.best[-1]) + 1 if self.curve else 0


@dataclass(frozen=True, slots=True)
class Records:
    """The trials of one sweep, in the object store."""

    store: ObjectStore
    folder: str

    def all(self) -> list[TrialRecord]:
        """In order of their numbers."""
        names = [name for name in self.store.files(f"{self.folder}/trials") if name.endswith(".json")]
        found = [TrialRecord.model_validate(self.store.read_json(f"{self.folder}/trials/{name}")) for name in names]
        return sorted(found, key=lambda record: record.number)

    def add(self, record: TrialRecord) -> None:
        self.store.write_json(f"{self.folder}/trials/{record.number:05d}.json", record.model_dump())


def ranked(records: list[TrialRecord]) -> list[TrialRecord]:
    """Best first; those that failed last."""
    return sorted(records, key=lambda r: (r.value is None, -(r.value or 0.0), r.number))
