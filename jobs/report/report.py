"""What a report says: `report.json` is these records as they are, and the page and the table show nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.models.resampling import Estimate

VERSION = 1
LISTS = "lists"
"""Name of the judged lists among the models."""


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """What was judged on; a pair is a learner and a content, counted once."""

    name: str
    num_train_events: int
    num_train_pairs: int
    num_learners: int
    num_contents: int
    num_judged: int
    num_test_pairs: int
    timed: bool


@dataclass(frozen=True, slots=True)
class Model:
    """The lists or a baseline; shares are 0..1, `metrics` by name such as `ndcg@10`."""

    name: str
    label: str
    setting: Mapping[str, float]
    tried: tuple[tuple[Mapping[str, float], float], ...]  # settings, and their NDCG@10 on the validation part
    metrics: Mapping[str, Estimate]
    coverage: Mapping[str, float]  # by depth: share of the catalogue that somebody is shown
    gini: float  # of how often contents stand in the first ten
    novelty: Estimate  # bits, of the first ten
    diversity: Estimate | None  # Jaccard distance of tags within the first ten
    places: Mapping[str, float]  # share of the first ten places by popularity slice
    recall_curve: tuple[float, ...]  # recall at 1, 2, …


@dataclass(frozen=True, slots=True)
class Difference:
    """The lists less a baseline, paired by learner."""

    name: str
    label: str
    metrics: Mapping[str, Estimate]
    higher: float  # share of learners whose NDCG@10 is higher in the lists
    lower: float

    @property
    def verdict(self) -> str:
        found = self.metrics["ndcg@10"]
        return "better" if found.low > 0 else "worse" if found.high < 0 else "not told apart"


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the learners (`count` of them: NDCG@10) or of the test pairs (Recall@10 and @100 of these pairs)."""

    label: str
    count: int
    models: Mapping[str, Mapping[str, Estimate]]  # by name of model, then of metric


@dataclass(frozen=True, slots=True)
class Stage:
    """The candidate stage alone, and what the ranker adds to its order."""

    candidates: Mapping[str, Estimate]
    gain: Mapping[str, Estimate]  # lists less candidates, paired
    ceiling: Estimate  # NDCG@10 of the same candidates in perfect order
    recall_curve: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SourceShare:
    """One source of candidates in the lists."""

    source: str
    share_10: float  # of the first ten places
    share_100: float
    hit_rate_10: Estimate  # test pairs found per place in the first ten
    hit_rate_100: Estimate
    share_of_hits: float  # of all test pairs found in the lists


@dataclass(frozen=True, slots=True)
class Bin:
    """Places of similar score."""

    score: float  # mean
    hit_rate: Estimate
    count: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """Predicted score against what came true."""

    bins: tuple[Bin, ...]
    probability: bool  # all scores are within 0..1
    error: float | None  # mean distance of score and hit rate over all places; of probabilities only


@dataclass(frozen=True, slots=True)
class Training:
    """What `evaluate offline` wrote of the training beside the lists."""

    importance: Mapping[str, float]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    version: int
    file: str  # of the lists
    split: SplitFacts
    notes: tuple[str, ...]
    models: tuple[Model, ...]  # the lists first
    differences: tuple[Difference, ...]  # by baseline
    by_history: tuple[Slice, ...]
    by_popularity: tuple[Slice, ...]
    stage: Stage | None
    sources: tuple[SourceShare, ...]
    reliability: Reliability | None
    training: Training | None
    skipped: Mapping[str, str]  # what is not in the report -> why
    seed: int
    draws: int
