"""A sweep on the cluster: Optuna proposes, Tune runs, ASHA ends what others do better."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from app.adapters.object_store import ObjectStore
from jobs.tuning.records import TrialRecord
from jobs.tuning.reporter import BEST
from jobs.tuning.space import Scalar
from jobs.tuning.watcher import Watcher

Trial = Callable[[dict[str, Any]], None]
"""A training with the chosen values; it reports by `jobs.tuning.reporter`."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """How trials are proposed and ended."""

    space: Mapping[str, BaseDistribution]
    first: Mapping[str, Scalar] | None  # tried before anything is proposed
    num_trials: int  # from now on
    concurrent: int
    longest: int  # reports of a trial that is never stopped
    grace: int
    reduction: int
    time_left_s: float | None
    seed: int


def run_sweep(
    sweep: Sweep, trial: Trial, *, past: Sequence[TrialRecord], watcher: Watcher, store: ObjectStore, folder: str
) -> None:
    """Run the trials; `watcher` has seen them all. `folder` holds what Tune keeps meanwhile, until the end.

    Raises KeyboardInterrupt where Ctrl-C came: Tune has stopped the trials in peace.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    deadline = None if sweep.time_left_s is None else time.monotonic() + sweep.time_left_s
    storage, _, name = folder.rpartition("/")
    try:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(_run, trial=trial), {"cpu": 1}),
            tune_config=tune.TuneConfig(
                num_samples=sweep.num_trials,
                search_alg=_search(sweep, past),
                scheduler=_scheduler(sweep, past),
                max_concurrent_trials=sweep.concurrent,
                time_budget_s=sweep.time_left_s,
                reuse_actors=True,  # importing TensorFlow takes longer than many a trial
            ),
            run_config=tune.RunConfig(
                name=name,
                storage_path=store.path(storage),
                storage_filesystem=store.filesystem,
                callbacks=[watcher],
                verbose=0,
            ),
        ).fit()
    finally:
        store.remove(folder)
    out_of_time = deadline is not None and time.monotonic() >= deadline
    if watcher.num_ended < sweep.num_trials and not out_of_time:
        raise KeyboardInterrupt


def _run(config: dict[str, Any], trial: Trial) -> None:
    trial(config)


def _search(sweep: Sweep, past: Sequence[TrialRecord]) -> OptunaSearch:
    """Knows the trials of earlier runs. A seed of its own each run: it would propose the same first ones again."""
    search = OptunaSearch(
        dict(sweep.space),
        metric=BEST,
        mode="max",
        seed=sweep.seed + 1_000 * len(past),
        points_to_evaluate=[dict(sweep.first)] if sweep.first else None,
    )
    for record in past:
        failed = record.state == "failed"
        search.add_evaluated_point(
            record.params, cast(float, record.value), error=failed, intermediate_values=None if failed else record.best
        )
    return search


@dataclass(frozen=True, slots=True)
class _Past:
    """What the scheduler asks of a trial."""

    trial_id: str


def _scheduler(sweep: Sweep, past: Sequence[TrialRecord]) -> ASHAScheduler:
    """Knows how the trials of earlier runs fared at each of its rungs: Tune does not keep that itself."""
    longest = max(sweep.longest + 1, sweep.grace + 1)  # one more than there are: a last report ends the trial
    scheduler = ASHAScheduler(
        metric=BEST, mode="max", max_t=longest, grace_period=sweep.grace, reduction_factor=sweep.reduction
    )
    for record in past:
        trial: Any = _Past(f"past-{record.number}")
        nobody: Any = None
        scheduler.on_trial_add(nobody, trial)
        for at, best in enumerate(record.best, 1):
            scheduler.on_trial_result(nobody, trial, {"training_iteration": at, BEST: best})
        scheduler.on_trial_remove(nobody, trial)
    return scheduler
