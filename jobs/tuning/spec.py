"""The spec of a sweep, and everything that can be wrong with it."""

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.job import JobSpec
from jobs.tuning.space import Dimension, Scalar, faults_of
from jobs.tuning.targets import TARGETS, Target, Tunes


class Spec(JobSpec):
    """What is tuned, on what, where its values may lie, and for how long."""

    tunes: Tunes = Field(default="train_retrieval", description="the job whose hyperparameters are searched")
    features: str = Field(default="latest", description="run of build_features; for train_retrieval")
    holdout_share: float = Field(default=0.1, ge=0.01, le=0.5, description="as in train_retrieval: never looked at")
    towers: str | dict[str, Scalar] = Field(
        default="latest",
        description="train_ranking: run of train_retrieval; train_retrieval: a table of fixed hyperparameters",
    )
    ranker: dict[str, Scalar] = Field(default_factory=dict, description="train_ranking: fixed hyperparameters")
    space: dict[str, Dimension] = Field(default_factory=dict, description="low, high and log, or choices, by name")
    num_trials: int = Field(default=20, ge=1, le=10_000, description="in all, those of earlier runs included")
    max_concurrent: int = Field(default=0, ge=0, le=1_000, description="trials at once; 0: as many as find a CPU")
    time_budget_s: float = Field(default=0.0, ge=0, description="for all runs together; 0: until all trials are done")
    grace: int = Field(default=2, ge=1, description="reports that every trial may make before it can be stopped")
    reduction: int = Field(default=3, ge=2, description="one in so many trials goes on at each rung")
    validation_share: float = Field(
        default=0.2, ge=0.05, le=0.5, description="train_ranking: learners that judge a trial"
    )
    seed: int = 7

    @model_validator(mode="after")
    def _check(self) -> "Spec":
        """All that is wrong with the tables together, by names of the tuned job's hyperparameters."""
        target, faults = self.target, []
        if self.tunes == "train_retrieval":
            if self.towers != "latest" and isinstance(self.towers, str):
                faults.append("towers: train_retrieval makes towers; name a run of build_features in features")
            if self.ranker:
                faults.append("ranker: only train_ranking takes it; set tunes")
        else:
            if isinstance(self.towers, dict):
                faults.append("towers: train_ranking takes a run of train_retrieval, not a table; set tunes")
            if self.features != "latest":
                faults.append("features: they come with the towers of train_ranking")
        closed = target.closed
        faults += faults_of(self.space, fixed=self.fixed, config=target.config, table=target.table, closed=closed)
        if faults:
            raise PydanticCustomError("sweep", "{faults}", {"faults": "\n  ".join(faults)})
        return self

    @property
    def target(self) -> Target:
        return TARGETS[self.tunes]

    @property
    def fixed(self) -> dict[str, Scalar]:
        """What is set in the table of the target's name."""
        table = self.towers if self.tunes == "train_retrieval" else self.ranker
        return table if isinstance(table, dict) else {}
