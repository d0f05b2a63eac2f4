"""Training of the ranker: its training set from what retrieval really returns, cross-validation, fit, calibration."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from app.domain.learners import Learners
from app.domain.slates import Source
from app.features.drift import FeatureBins
from app.features.examples import Examples
from app.features.item_state import Items
from app.features.ranking import DIRECTIONS, OnAxes, feature_names, plain_features, principal_axes
from app.models.configs import RankerConfig
from app.models.nearest import nearest_items
from app.models.ranker import Ranker
from app.models.retrieval import QUOTA, merge_candidates, source_weights

QUERY_BATCH = 512
WHOLE_LISTS = 16
"""One list in as many goes whole into the bins that serving is compared with: the training set samples its rows."""

WEIGHING = 2_000
"""Examples that the weights of the sources are learned from."""

RETURN_S, LEAST_WEIGHT = 86_400, 0.2
"""Over more than a day learners come back, and then what is popular and new counts for more than within the sessions
that most examples are of: no source weighs less than this."""


@dataclass(frozen=True, slots=True)
class RankingSet:
    """Rows of ranking features, grouped in lists: rows of a list follow each other."""

    matrix: NDArray[np.float32]  # [n, num_features]
    label: NDArray[np.float32]  # [n] 0, or the strength 0.5..1 of the event that followed
    query: NDArray[np.int32]  # [n] number of the list
    learner: NDArray[np.int32]  # [n] user index: folds are grouped by it
    axes: NDArray[np.float32]  # [dim, n] of the embeddings, as the matrix has them
    recall: float  # share of the lists that held what followed
    bins: FeatureBins | None = None  # of the plain features, of all candidates of some lists: as serving sees them

    def __len__(self) -> int:
        return len(self.label)

    @property
    def num_axes(self) -> int:
        return self.axes.shape[1]


@dataclass(frozen=True, slots=True)
class FittedRanker:
    ranker: Ranker
    metrics: dict[str, float]
    importance: dict[str, float]  # share of the total gain by feature; embeddings summed


def learn_weights(
    examples: Examples, embeddings: NDArray[np.float32], *, items: Items, seed: int
) -> NDArray[np.float32]:
    """`source_weights` of at most WEIGHING of the examples, LEAST_WEIGHT where it holds.

    `embeddings` `[n, dim]` are the examples' learners'.
    """
    rows = _chosen(examples.learners.user_index, RankerConfig(max_queries=WEIGHING, seed=seed))
    part = examples.take(rows)
    nearest = nearest_items(embeddings[rows], items.embeddings, limit=QUOTA[Source.TWO_TOWER])
    weights = source_weights(items, part.learners, nearest, part.content)
    lasts = np.ptp(examples.learners.now) > RETURN_S if len(examples) else False
    return np.maximum(weights, LEAST_WEIGHT).astype(np.float32) if lasts else weights


def ranking_set(
    examples: Examples, embeddings: NDArray[np.float32], *, items: Items, config: RankerConfig
) -> RankingSet:
    """Lists for `examples` as retrieval would have answered; `items` as of their time.

    Positives are the content met and, of the other candidates, what the same learner met later in `examples` (which
    are in order of learner and time), the less the later: calling those negatives teaches the ranker to distrust what
    is only a little later, calling them as good loses what comes next. The rest are negatives.
    `embeddings` `[n, dim]` are the learners', by towers that never saw these examples.
    """
    rng = np.random.default_rng(config.seed)
    chosen = _chosen(examples.learners.user_index, config)
    parts: list[tuple[NDArray[Any], ...]] = []
    whole: list[NDArray[np.float32]] = []
    found = 0
    met = _Met.of(examples, num_items=len(items))
    on_axes = OnAxes.of(principal_axes(items.embeddings, limit=config.num_axes), items=items)
    for start in range(0, len(chosen), QUERY_BATCH):
        rows = chosen[start : start + QUERY_BATCH]
        part = examples.take(rows)
        nearest = nearest_items(embeddings[rows], items.embeddings, limit=config.num_candidates)
        exclude = np.full((len(rows), 0), -1, np.int32)
        candidates = merge_candidates(items, part.learners, nearest, exclude=exclude, limit=config.num_candidates)
        found += int((candidates.index == part.content[:, None]).any(1).sum())
        strength = met.strength(rows, part.learners, candidates.index)
        plain = plain_features(part.learners, embeddings[rows], candidates, items=items)
        whole.append(plain[::WHOLE_LISTS][candidates.index[::WHOLE_LISTS] >= 0])
        keep = _sample(candidates.index, strength > 0, config.num_negatives, rng)
        index, label = np.take_along_axis(candidates.index, keep, 1), np.take_along_axis(strength, keep, 1)
        plain = np.take_along_axis(plain, keep[:, :, None], 1)
        matrix = on_axes.rows(plain, embeddings[rows], index)
        used = (index >= 0) & label.any(1, keepdims=True)
        query = np.broadcast_to((start + np.arange(len(rows)))[:, None], used.shape)
        learner = np.broadcast_to(part.learners.user_index[:, None], used.shape)
        parts.append((matrix[used.ravel()], label[used].astype(np.float32), query[used], learner[used]))
    matrix, label, query, learner = (np.concatenate(column) for column in zip(*parts, strict=True))
    recall = found / max(len(chosen), 1)
    seen = np.concatenate(whole)
    bins = FeatureBins.of(seen) if len(seen) else None
    return RankingSet(matrix, label, query.astype(np.int32), learner.astype(np.int32), on_axes.axes, recall, bins)


@dataclass(frozen=True, slots=True)
class _Met:
    """Who met what, sorted by `user_index * num_items + content`: how strongly, and in which row of the examples."""

    key: NDArray[np.int64]
    value: NDArray[np.float32]
    row: NDArray[np.int64]
    num_items: int

    @classmethod
    def of(cls, examples: Examples, *, num_items: int) -> "_Met":
        key = examples.learners.user_index.astype(np.int64) * num_items + examples.content
        order = np.argsort(key)
        return cls(key[order], examples.strength[order], order, num_items)

    def strength(self, rows: NDArray[np.int64], learners: Learners, index: NDArray[np.int32]) -> NDArray[np.float32]:
        """Of `index` `[B, K]` for examples `rows` `[B]`: divided by how many meetings away, 0 where none follows."""
        wanted = learners.user_index.astype(np.int64)[:, None] * self.num_items + index
        at = np.minimum(np.searchsorted(self.key, wanted), len(self.key) - 1)
        away = self.row[at] - rows[:, None]  # a learner's examples follow each other in time
        there = (self.key[at] == wanted) & (away >= 0) & (index >= 0)
        return np.where(there, self.value[at] / np.maximum(away + 1, 1), 0).astype(np.float32)


def _chosen(user: NDArray[np.int32], config: RankerConfig) -> NDArray[np.int64]:
    """Rows for lists, drawn at random, in order: a few of each learner, so that the busy do not speak for all."""
    drawn = np.random.default_rng(config.seed).permutation(len(user))
    by_user = drawn[np.argsort(user[drawn], kind="stable")]
    number = np.arange(len(user)) - np.searchsorted(user[by_user], user[by_user], side="left")
    few = np.zeros(len(user), np.bool_)
    few[by_user] = (number < config.max_queries_of_learner) | (user[by_user] == 0)
    return np.sort(drawn[few[drawn]][: config.max_queries])


def _sample(
    index: NDArray[np.int32], hit: NDArray[np.bool_], num_negatives: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Columns of each list: at most as many hits and others as `num_negatives + 1`, hits first. `[B, n]`."""
    key = rng.random(hit.shape) + np.where(index >= 0, 0, 2) - hit
    return np.argsort(key, axis=1)[:, : num_negatives + 1]


def booster_params(config: RankerConfig, *, num_axes: int, num_threads: int = 0) -> dict[str, Any]:
    """Parameters of xgboost.train."""
    directions = [DIRECTIONS.get(name, 0) for name in feature_names(num_axes)]
    return {
        "objective": config.objective,
        "eval_metric": ["auc"],
        "tree_method": "hist",
        "max_depth": config.max_depth,
        "eta": config.learning_rate,
        "subsample": config.subsample,
        "colsample_bytree": config.colsample,
        "max_bin": config.max_bin,
        "min_child_weight": config.min_child_weight,
        "seed": config.seed,
        "monotone_constraints": f"({','.join(map(str, directions))})",
        **({"nthread": num_threads} if num_threads else {}),
    }


def column_weights(num_axes: int, config: RankerConfig) -> NDArray[np.float32]:
    """Chance of each column to be drawn for a tree: those of the embeddings less often than the others."""
    weights = np.ones(len(feature_names(num_axes)), np.float32)
    weights[: 2 * num_axes] = config.embedding_weight
    return weights


def as_matrix(data: RankingSet, rows: NDArray[np.int64], *, config: RankerConfig) -> xgb.DMatrix:
    ranks = config.objective.startswith("rank:")
    label = np.rint(2 * data.label[rows]) if ranks else data.label[rows]  # LambdaMART counts in whole degrees
    matrix = xgb.DMatrix(data.matrix[rows], label)
    matrix.set_info(feature_weights=column_weights(data.num_axes, config))
    if ranks:
        matrix.set_info(qid=data.query[rows])
    return matrix


Train = Callable[[RankingSet, NDArray[np.int64], int], xgb.Booster]
"""Fits the final booster on rows of the set for a number of rounds: in this process, or on a cluster."""


def fit_ranker(
    data: RankingSet, *, config: RankerConfig, train: Train | None = None, num_threads: int = 0
) -> FittedRanker:
    """Cross-validate by learner, fit on everything for the mean best number of rounds, calibrate out of fold."""
    params = booster_params(config, num_axes=data.num_axes, num_threads=num_threads)
    margin, rounds, aucs = np.zeros(len(data), np.float32), [], []
    for fit, hold in _folds(data, config):
        inside = as_matrix(data, fit, config=config)
        outside = as_matrix(data, hold, config=config)
        booster = xgb.train(
            params,
            inside,
            config.num_trees,
            evals=[(outside, "valid")],
            early_stopping_rounds=config.early_stopping,
            verbose_eval=False,
        )
        best = booster.best_iteration + 1
        margin[hold] = booster.predict(outside, output_margin=True, iteration_range=(0, best))
        rounds.append(best)
        aucs.append(float(roc_auc_score(data.label[hold] > 0, margin[hold])))
    num_rounds = max(1, round(float(np.mean(rounds))))
    everything = np.arange(len(data))
    if train is None:
        whole = as_matrix(data, everything, config=config)
        booster = xgb.train(params, whole, num_rounds)
    else:
        booster = train(data, everything, num_rounds)
    slope, intercept = _platt(margin, data.label)
    metrics = {
        "auc_cv": float(np.mean(aucs)),
        "auc_cv_std": float(np.std(aucs)),
        "num_rounds": float(num_rounds),
        "num_rows": float(len(data)),
        "candidate_recall": data.recall,
    }
    ranker = Ranker(booster, axes=data.axes, slope=slope, intercept=intercept, bins=data.bins)
    return FittedRanker(ranker, metrics, feature_importance(booster, num_axes=data.num_axes))


def shuffled_auc(data: RankingSet, *, config: RankerConfig) -> float:
    """AUC of a small ranker fitted on labels in random order: 0.5, unless something leaks from fitting to judging."""
    order = np.random.default_rng(config.seed).permutation(len(data))
    small = config.model_copy(update={"num_folds": 2, "num_trees": 50, "objective": "binary:logistic"})
    shuffled = replace(data, label=data.label[order])
    return fit_ranker(shuffled, config=small).metrics["auc_cv"]


def _folds(data: RankingSet, config: RankerConfig) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    group = np.where(data.learner > 0, data.learner, -1 - data.query)  # the unknown are learners of their own
    num_folds = min(config.num_folds, len(np.unique(group)))
    return list(GroupKFold(num_folds, shuffle=True, random_state=config.seed).split(data.matrix, groups=group))


def _platt(margin: NDArray[np.float32], label: NDArray[np.float32]) -> tuple[float, float]:
    """Slope (kept positive: order must not turn) and intercept of the sigmoid that fits soft labels best."""
    x = np.r_[margin, margin][:, None]
    y = np.r_[np.ones(len(margin)), np.zeros(len(margin))]
    fitted = LogisticRegression(C=1e6).fit(x, y, sample_weight=np.r_[label, 1 - label])
    return max(float(fitted.coef_[0, 0]), 1e-3), float(fitted.intercept_[0])


def feature_importance(booster: xgb.Booster, *, num_axes: int) -> dict[str, float]:
    """Share of the total gain, greatest first."""
    names: Sequence[str] = feature_names(num_axes)
    gain: dict[str, float] = {}
    for key, value in booster.get_score(importance_type="total_gain").items():
        name = names[int(key[1:])]
        name = name.rsplit("_", 1)[0] if "_embedding_" in name else name
        gain[name] = gain.get(name, 0.0) + float(value if not isinstance(value, list) else sum(value))
    total = sum(gain.values()) or 1.0
    return {name: value / total for name, value in sorted(gain.items(), key=lambda pair: -pair[1])}
