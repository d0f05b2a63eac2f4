"""Two ways to fit the booster by two workers on a cluster give the ranker of one process."""

from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from app.features.ranking import PLAIN_FEATURES
from app.models.configs import RankerConfig
from app.models.train_ranker import RankingSet, as_matrix, booster_params
from app.settings import Settings
from jobs.boosters import Backend, BoosterPlan, fit_of
from jobs.ray_session import ray_session

DIM, NUM_LISTS, LENGTH = 4, 4000, 12
"""Of the lists, the last quarter judges."""

BACKENDS: tuple[Backend, ...] = ("ray-train", "xgboost-ray")


def ranking_lists() -> RankingSet:
    rng = np.random.default_rng(5)
    size = NUM_LISTS * LENGTH
    matrix = rng.normal(size=(size, 2 * DIM + len(PLAIN_FEATURES))).astype(np.float32)
    wanted = matrix[:, 2 * DIM] + 0.5 * matrix[:, 2 * DIM + 1] * matrix[:, 2 * DIM + 2] + rng.normal(size=size) > 1.2
    query = np.repeat(np.arange(NUM_LISTS, dtype=np.int32), LENGTH)
    return RankingSet(matrix, wanted.astype(np.float32), query, query + 1, np.eye(DIM, dtype=np.float32), recall=1.0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_two_workers_learn_what_one_process_does(driven_cluster: str, tmp_path: Path, backend: Backend) -> None:
    data, rows = ranking_lists(), np.arange(NUM_LISTS * LENGTH)
    # Without draws of rows and columns, which every worker makes for itself, only the cuts of features may differ.
    config = RankerConfig(num_trees=30, max_depth=4, embedding_weight=1.0, subsample=1.0, colsample=1.0)
    judged = data.query >= NUM_LISTS * 3 // 4
    with ray_session(Settings(ray_address=driven_cluster)):
        plan = BoosterPlan(config, num_workers=2, attempts=tmp_path.as_uri())
        together = fit_of(backend, plan)(data, rows[~judged], 30)
    matrix = as_matrix(data, rows[~judged], config=config)
    alone = xgb.train(booster_params(config, num_axes=data.num_axes), matrix, 30)
    auc = {name: auc_of(booster, data, judged) for name, booster in (("alone", alone), ("together", together))}
    assert auc["alone"] > 0.75
    assert auc["together"] == pytest.approx(auc["alone"], abs=0.002)


def auc_of(booster: xgb.Booster, data: RankingSet, judged: NDArray[np.bool_]) -> float:
    margin = booster.predict(xgb.DMatrix(data.matrix[judged]), output_margin=True)
    return float(roc_auc_score(data.label[judged], margin))
