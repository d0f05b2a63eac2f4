"""A sweep over hyperparameters of the towers or of the ranker, by Ray Tune; its output is the best spec.

Output, `learning-models/sweeps/{run}/`: `trials/NNNNN.json` as they end, `best.toml` (a spec of the tuned job),
`report.html`, `report.json`. A run with the same inputs, space and seed goes on with the trials that are there.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich.console import Console

from app.adapters.object_store import ObjectStore
from app.errors import InvalidSpec, LearnrecError, NotFound
from app.settings import Settings
from jobs import stores
from jobs.artefacts import FEATURES, SWEEPS, TOWERS, Plan, plan
from jobs.job import JobResult
from jobs.spec import SPECS
from jobs.tracking import Run, tracked
from jobs.tuning.outcome import Outcome, publish
from jobs.tuning.records import Records
from jobs.tuning.spec import Spec

STATE = "sweep.json"


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises InvalidSpec: nothing to search; NotFound: the run to tune on is not there; Conflict: it runs already;
    KeyboardInterrupt: Ctrl-C.
    """
    if not spec.space:
        raise InvalidSpec(f"the space is empty: give [space.NAME] tables, as in {SPECS / 'tune-retrieval.toml'}")
    store = stores.objects(settings)
    inputs = _inputs(spec, store)
    planned = _planned(store, spec, inputs)
    done = [record for record in Records(store, planned.folder).all() if record.state != "failed"]
    spent = float(_read_state(store, planned).get("seconds", 0.0))
    out_of_time = bool(spec.time_budget_s) and spent >= spec.time_budget_s
    if len(done) >= spec.num_trials or (done and out_of_time):
        found = SWEEPS.made_from(store, planned.fingerprint)
        if found:
            SWEEPS.point(store, found.run, fingerprint=planned.fingerprint)
            return found.result(reused=True)
    with stores.warehouse(settings) as warehouse, warehouse.exclusive(f"sweep {planned.run}"):
        return _go_on(spec, settings, planned, out_of_time=out_of_time)


def _go_on(spec: Spec, settings: Settings, planned: Plan, *, out_of_time: bool) -> JobResult:
    """Run the trials that are still wanted, and publish what all have found."""
    store = stores.objects(settings)
    records, state = Records(store, planned.folder), _read_state(store, planned)
    known, spent = str(state.get("mlflow_run", "")), float(state.get("seconds", 0.0))
    with tracked(settings, SWEEPS.job, params=planned.spec, tags=planned.inputs, run_id=known) as track:
        _write_state(store, planned, track, spent)
        left = max(spec.time_budget_s - spent, 1.0) if spec.time_budget_s else None
        with _timed(store, planned, track, spent=spent):
            if not out_of_time:
                from jobs.tuning.running import sweep_on_cluster  # Tune: not for who only asks for the job's Spec

                sweep_on_cluster(spec, settings, planned, track=track, time_left_s=left)
        outcome = Outcome.of(spec.target, fixed=spec.fixed, space=spec.space, records=records.all())
        if outcome.best is None:
            told = next((record.error for record in outcome.records), "the time was over before one had ended")
            raise LearnrecError(f"no trial has come to an end: {told}")
        return publish(outcome, spec_of_job=_spec_of_job(spec, outcome), store=store, planned=planned, track=track)


def _inputs(spec: Spec, store: ObjectStore) -> dict[str, str]:
    if spec.tunes == "train_retrieval":
        return {"features": FEATURES.find(store, spec.features).run}
    assert isinstance(spec.towers, str)
    towers = TOWERS.find(store, spec.towers)
    return {**towers.inputs, "towers": towers.run}


def _planned(store: ObjectStore, spec: Spec, inputs: dict[str, str]) -> Plan:
    """The sweep that is there for the same search, or a new one; how long it may run is no part of what it is."""
    lasting = {"num_trials": 1, "max_concurrent": 0, "time_budget_s": 0.0, "features": "latest"}
    if isinstance(spec.towers, str):
        lasting["towers"] = "latest"
    planned = plan(SWEEPS, inputs, spec.model_copy(update=lasting))
    pointer, run = f"{SWEEPS.root}/inputs/{planned.fingerprint}.json", planned.run
    if not spec.force:
        try:
            run = store.read_json(pointer)["run"]
        except NotFound:
            store.remove(planned.folder)
    store.write_json(pointer, {"run": run})
    return replace(planned, run=run, spec=spec.model_dump(mode="json"))


def _read_state(store: ObjectStore, planned: Plan) -> dict[str, Any]:
    try:
        return store.read_json(f"{planned.folder}/{STATE}")
    except NotFound:
        return {}


def _write_state(store: ObjectStore, planned: Plan, track: Run, seconds: float) -> None:
    store.write_json(f"{planned.folder}/{STATE}", {"mlflow_run": track.run_id, "seconds": round(seconds, 1)})


@contextmanager
def _timed(store: ObjectStore, planned: Plan, track: Run, *, spent: float) -> Iterator[None]:
    """Notes how long the sweep has run, also where it is interrupted; then it says how to go on."""
    began = time.monotonic()
    try:
        yield
    except KeyboardInterrupt:
        told = "interrupted: the same command goes on with the trials that have ended"
        Console(stderr=True, soft_wrap=True).print(told)
        raise
    finally:
        _write_state(store, planned, track, spent + time.monotonic() - began)


def _spec_of_job(spec: Spec, outcome: Outcome) -> dict[str, Any]:
    """What the tuned job takes: the best hyperparameters, all written out, and what they were tuned on by name."""
    table = {spec.target.table: outcome.config.model_dump(mode="json")}
    if spec.tunes == "train_retrieval":
        return {"features": spec.features, "holdout_share": spec.holdout_share, **table}
    return {"towers": spec.towers, **table}
