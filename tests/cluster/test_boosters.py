"""Two ways to fit the booster on a cluster, by one worker or two, give the same ranker."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from app.features.ranking import PLAIN_FEATURES
from app.models.configs import RankerConfig
from app.models.train_ranker import RankingSet
from app.settings import Settings
from jobs.boosters import Backend, BoosterPlan, fit_of
from jobs.ray_session import ray_session

DIM, NUM_LISTS, LENGTH = 4, 4000, 12
"""Of the lists, the last quarter judges."""

WAYS: tuple[tuple[Backend, int], ...] = (("ray-train", 1), ("ray-train", 2), ("xgboost-ray", 2))
"""With the number of workers; the first is what the others are compared with."""


def ranking_lists() -> RankingSet:
    rng = np.random.default_rng(5)
    size = NUM_LISTS * LENGTH
    matrix = rng.normal(size=(size, 2 * DIM + len(PLAIN_FEATURES))).astype(np.float32)
    wanted = matrix[:, 2 * DIM] + 0.5 * matrix[:, 2 * DIM + 1] * matrix[:, 2 * DIM + 2] + rng.normal(size=size) > 1.2
    query = np.repeat(np.arange(NUM_LISTS, dtype=np.int32), LENGTH)
    return RankingSet(matrix, wanted.astype(np.float32), query, query + 1, np.eye(DIM, dtype=np.float32), recall=1.0)


@pytest.fixture(scope="module")
def aucs(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Backend, int], float]:
    import xgboost as xgb

    data, attempts = ranking_lists(), tmp_path_factory.mktemp("attempts").as_uri()
    # Without draws of rows and columns, which every worker makes for itself, only the cuts of features may differ.
    config = RankerConfig(num_trees=30, max_depth=4, embedding_weight=1.0, subsample=1.0, colsample=1.0)
    judged = data.query >= NUM_LISTS * 3 // 4
    result: dict[tuple[Backend, int], float] = {}
    with ray_session(Settings(ray_address=ray_cluster)):
        for backend, num_workers in WAYS:
            plan = BoosterPlan(config, num_workers, attempts)
            booster = fit_of(backend, plan)(data, np.flatnonzero(~judged), 30)
            margin = booster.predict(xgb.DMatrix(data.matrix[judged]), output_margin=True)
            result[backend, num_workers] = float(roc_auc_score(data.label[judged], margin))
    return result


@pytest.mark.parametrize("way", WAYS[1:])
def test_every_way_learns_what_one_worker_does(
    aucs: dict[tuple[Backend, int], float], way: tuple[Backend, int]
) -> None:
    assert aucs[WAYS[0]] > 0.75
    assert aucs[way] == pytest.approx(aucs[WAYS[0]], abs=0.002)
