"""Trials of the ranker: fitted on the lists of most learners, judged by NDCG on whole lists of the others."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from xgboost.callback import TrainingCallback

from app.errors import Conflict
from app.models.configs import RankerConfig
from app.models.train_ranker import RankingSet, as_matrix, booster_params
from jobs.ranker_task import Late, read_inputs
from jobs.ray_session import Shared
from jobs.train_ranking import RankerTask
from jobs.tuning.reporter import Reporter

DEPTH = 10
TREES_A_REPORT = 5

OF_THE_BOOSTER = frozenset(
    {"objective", "num_trees", "max_depth", "learning_rate", "subsample", "colsample", "max_bin", "min_child_weight"}
    | {"embedding_weight", "early_stopping"}
)
"""Fields that leave the training set as it is; it is made again for a trial that changes any other."""


@dataclass(frozen=True, slots=True)
class RankingData:
    """What every trial is fitted on, and judged by."""

    late: Late  # of the learners to fit on
    fit: RankingSet
    valid: RankingSet  # every candidate of a list


def ranking_data(task: RankerTask, *, validation_share: float) -> RankingData:
    """Raises Conflict: no list of the learners that are held out has anything that they met."""
    config = task.config
    late = Late.of(read_inputs(task), task.snapshot.examples(), seed=config.seed)
    user = late.examples.learners.user_index
    learners = np.unique(user)
    rng = np.random.default_rng(config.seed)
    held = np.isin(user, rng.permutation(learners)[: round(validation_share * len(learners))])
    if not held.any() or held.all():
        raise Conflict(f"{len(learners)} learners are too few to hold out {validation_share:.0%} of them")
    whole_lists = config.model_copy(
        update={
            "num_negatives": config.num_candidates,
            "max_queries": max(1, round(validation_share * config.max_queries)),
        }
    )
    valid = late.take(held).ranking_set(whole_lists)
    if not valid.label.any():
        raise Conflict("no candidate is what the held-out learners met: tune train_retrieval first")
    rest = late.take(~held)
    return RankingData(rest, rest.ranking_set(config), valid)


@dataclass(frozen=True, slots=True)
class RankingTrial:
    """One booster."""

    data: Shared[RankingData]
    fixed: dict[str, Any]
    num_threads: int
    metric: str

    def __call__(self, chosen: dict[str, Any]) -> None:
        data, reporter = self.data.get(), Reporter(self.metric)
        config = RankerConfig.model_validate({**self.fixed, **chosen})
        fit = data.fit if chosen.keys() <= OF_THE_BOOSTER else data.late.ranking_set(config)
        valid = _matrix(data.valid, config)
        xgb.train(
            booster_params(config, num_axes=fit.num_axes, num_threads=self.num_threads),
            _matrix(fit, config),
            config.num_trees,
            evals=[(valid, "valid")],
            verbose_eval=False,
            callbacks=[_Report(reporter, data.valid, valid, patience=config.early_stopping, metric=self.metric)],
        )
        reporter.end()


def _matrix(data: RankingSet, config: RankerConfig) -> xgb.DMatrix:
    return as_matrix(data, np.arange(len(data)), config=config)


class _Report(TrainingCallback):
    """Every TREES_A_REPORT trees; ends the training after `patience` trees that were no better."""

    def __init__(
        self, reporter: Reporter, lists: RankingSet, matrix: xgb.DMatrix, *, patience: int, metric: str
    ) -> None:
        super().__init__()
        self._reporter, self._lists, self._matrix = reporter, lists, matrix
        self._patience, self._metric = patience, metric
        self._best, self._best_at = -1.0, 0

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        trees = epoch + 1
        if trees % TREES_A_REPORT:
            return False
        margin = model.predict(self._matrix, output_margin=True)
        value = mean_ndcg(margin, self._lists.label, self._lists.query)
        self._reporter.report({self._metric: value, "auc": float(evals_log["valid"]["auc"][-1])})
        if value > self._best:
            self._best, self._best_at = value, trees
        return trees - self._best_at >= self._patience


def mean_ndcg(
    score: NDArray[np.float32], label: NDArray[np.float32], query: NDArray[np.int32], *, depth: int = DEPTH
) -> float:
    """NDCG at `depth` over the lists that hold anything of use; the labels `[n]` are the gains."""
    gained, ideal = _dcg(score, label, query, depth), _dcg(label, label, query, depth)
    useful = ideal > 0
    return float((gained[useful] / ideal[useful]).mean())


def _dcg(
    score: NDArray[np.float32], label: NDArray[np.float32], query: NDArray[np.int32], depth: int
) -> NDArray[np.float64]:
    order = np.lexsort((-score, query))
    ordered = query[order]
    place = np.arange(len(order)) - np.searchsorted(ordered, ordered, side="left")
    gain = np.where(place < depth, label[order] / np.log2(place + 2), 0.0)
    return np.bincount(ordered, gain).astype(np.float64)
