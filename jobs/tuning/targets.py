"""The jobs that a sweep can tune: whose hyperparameters, judged by what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from app.models.configs import RankerConfig, TowersConfig

Tunes = Literal["train_retrieval", "train_ranking"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is tuned. Names and words only; the trials are in `jobs.tuning.retrieval` and `.ranking`."""

    job: Tunes
    table: str  # of the job's spec
    config: type[BaseModel]
    metric: str  # greater is better
    length: str  # field of `config` that says how long a trial may be
    closed: Mapping[str, str] = field(default_factory=dict)  # fields that cannot be searched, and why

    def whole(self, values: Mapping[str, Any]) -> Any:
        """A config from what is set, defaults for the rest."""
        return self.config.model_validate(values)


TARGETS: Mapping[str, Target] = {
    target.job: target
    for target in (
        Target("train_retrieval", "towers", TowersConfig, "recall@100", "num_epochs"),
        Target(
            "train_ranking",
            "ranker",
            RankerConfig,
            "ndcg@10",
            "num_trees",
            closed={
                "num_candidates": "lists of different lengths cannot be compared",
                "num_folds": "a trial is judged on one hold-out of learners",
            },
        ),
    )
}
