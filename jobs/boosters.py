"""Two ways to fit the final booster on the cluster: Ray Train, and the package xgboost-ray."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from xgboost.tracker import RabitTracker

from app.adapters.object_store import ObjectStore
from app.models.configs import RankerConfig
from app.models.train_ranker import RankingSet, as_matrix, booster_params, column_weights
from jobs.ray_session import Shared
from jobs.train_ranking import Backend


@dataclass(frozen=True, slots=True)
class BoosterPlan:
    """How the final booster is fitted."""

    config: RankerConfig
    num_workers: int
    attempts: str  # URI of a folder for checkpoints


class Fit(Protocol):
    """Is an `app.models.train_ranker.Train`: fits on `rows` of `data` for `num_rounds`, on a connected cluster."""

    def __call__(self, data: RankingSet, rows: NDArray[np.int64], num_rounds: int) -> xgb.Booster: ...


def fit_of(backend: Backend, plan: BoosterPlan) -> Fit:
    return WithRayTrain(plan) if backend == "ray-train" else WithXgboostRay(plan)


@dataclass(frozen=True, slots=True)
class WithRayTrain:
    """Ray Train's XGBoostTrainer, each worker with the lists of its share."""

    plan: BoosterPlan

    def __call__(self, data: RankingSet, rows: NDArray[np.int64], num_rounds: int) -> xgb.Booster:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.xgboost import RayTrainReportCallback, XGBoostTrainer

        store = ObjectStore(self.plan.attempts)
        trainer = XGBoostTrainer(
            _boost,
            train_loop_config={"plan": self.plan, "data": Shared((data, rows)), "num_rounds": num_rounds},
            scaling_config=ScalingConfig(num_workers=self.plan.num_workers),
            run_config=RunConfig(name="booster", storage_path=store.path(""), storage_filesystem=store.filesystem),
        )
        checkpoint = trainer.fit().checkpoint
        assert checkpoint is not None, "the last round reports one"
        return RayTrainReportCallback.get_model(checkpoint)


def _boost(config: dict[str, Any]) -> None:
    """On a worker. One report, at the end: each waits for the controller's next look."""
    from ray.train import get_context
    from ray.train.xgboost import RayTrainReportCallback

    plan: BoosterPlan = config["plan"]
    data, rows = config["data"].get()
    mine = rows[data.query[rows] % plan.num_workers == get_context().get_world_rank()]  # a list stays in one place
    matrix = as_matrix(data, mine, config=plan.config)
    callback = RayTrainReportCallback(frequency=0, checkpoint_at_end=True)
    xgb.train(
        booster_params(plan.config, num_axes=data.num_axes),
        matrix,
        config["num_rounds"],
        callbacks=[callback],
    )


@dataclass(frozen=True, slots=True)
class WithXgboostRay:
    """The package xgboost-ray 0.1.19: its actors, with a tracker that xgboost 2.1 and later has."""

    plan: BoosterPlan

    def __call__(self, data: RankingSet, rows: NDArray[np.int64], num_rounds: int) -> xgb.Booster:
        import xgboost_ray

        query = data.query[rows] if self.plan.config.objective.startswith("rank:") else None
        config = self.plan.config
        matrix = xgboost_ray.RayDMatrix(
            data.matrix[rows],
            data.label[rows],
            qid=query,
            feature_weights=column_weights(data.num_axes, config),
            sharding=xgboost_ray.RayShardingMode.BATCH,
        )
        actors = xgboost_ray.RayParams(
            num_actors=self.plan.num_workers, cpus_per_actor=1, checkpoint_frequency=num_rounds
        )
        with _present_tracker():
            params = booster_params(config, num_axes=data.num_axes)
            fitted = xgboost_ray.train(params, matrix, num_rounds, ray_params=actors)
        booster = xgb.Booster()
        booster.load_model(fitted.save_raw("ubj"))
        booster.feature_names = None  # it numbers the columns itself, as the other way does
        return booster


@contextlib.contextmanager
def _present_tracker() -> Iterator[None]:
    """xgboost-ray starts the tracker of xgboost before 2.1, which is gone; here it starts the present one."""
    from xgboost_ray import main

    original = main._start_rabit_tracker  # noqa: SLF001  # the package has no setting for it
    main._start_rabit_tracker = _start_tracker  # noqa: SLF001
    try:
        yield
    finally:
        main._start_rabit_tracker = original  # noqa: SLF001


class _TrackerHandle:
    """What xgboost-ray asks of the process that its tracker used to be."""

    pid = 0  # of this process: the tracker is a thread of it

    def __init__(self, tracker: RabitTracker) -> None:
        self._tracker = tracker

    def join(self, timeout: int) -> None:
        with contextlib.suppress(ValueError, xgb.core.XGBoostError):  # late workers: terminate comes next
            self._tracker.wait_for(timeout)

    def terminate(self) -> None:
        self._tracker.free()


def _start_tracker(num_workers: int) -> tuple[_TrackerHandle, dict[str, Any]]:
    import ray

    tracker = RabitTracker(n_workers=num_workers, host_ip=ray.util.get_node_ip_address(), sortby="task")
    tracker.start()
    return _TrackerHandle(tracker), dict(tracker.worker_args())
