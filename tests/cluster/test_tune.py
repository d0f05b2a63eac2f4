"""Sweeps on a real cluster: short trials on a small world, killed, interrupted, gone on with, their best used."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import ray

from app.adapters.object_store import ObjectStore
from app.models.configs import RankerConfig, TowersConfig
from app.settings import Settings
from jobs import stores
from jobs.artefacts import SWEEPS, TOWERS
from jobs.job import JobResult
from jobs.ray_session import ray_session
from jobs.runner import run_job
from jobs.spec import load_spec
from jobs.tuning.records import Records, TrialRecord
from jobs.tuning.reporter import Reporter
from jobs.tuning.space import Dimension, distributions
from jobs.tuning.sweep import Sweep, Trial, run_sweep
from jobs.tuning.watcher import Watcher
from tests.cluster.jobworld import (
    DEADLINE_S,
    JobWorld,
    job_process,
    job_world,
    until,
    write_addresses,
)

pytestmark = pytest.mark.timeout(DEADLINE_S)

RETRIEVAL = """
tunes = "train_retrieval"
num_trials = 4
max_concurrent = 1
grace = 1
reduction = 2
[towers]
embedding_dim = 16
hidden_dim = 32
num_epochs = 2
[space.learning_rate]
low = 1e-3
high = 1e-1
log = true
[space.id_dim]
choices = [16, DEFAULT]
""".replace("DEFAULT", str(TowersConfig().id_dim))

RANKING = """
tunes = "train_ranking"
num_trials = 6
max_concurrent = 1
[ranker]
num_trees = 60
early_stopping = 60
max_queries = 400
[space.max_depth]
low = 2
high = 7
[space.num_negatives]
choices = [5, DEFAULT]
""".replace("DEFAULT", str(RankerConfig().num_negatives))


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_url: str,
    milvus_lite_uri: str,
    mlflow_uri: str,
    driven_cluster: str,
) -> Iterator[JobWorld]:
    """A world whose features are built."""
    with job_world(
        tmp_path_factory.mktemp("tune"),
        postgres_url=postgres_url,
        redis_url=redis_url,
        milvus_uri=milvus_lite_uri,
        mlflow_uri=mlflow_uri,
    ) as world:
        write_addresses(world.settings)
        settings = world.settings.model_copy(update={"ray_address": driven_cluster})
        for name, text in (("retrieval", RETRIEVAL), ("ranking", RANKING)):
            world.spec.with_name(f"{name}.toml").write_text(text)
        for job in ("ingest_events", "build_features"):
            run_job(job, settings)
        yield JobWorld(settings, world.world, world.spec)


@pytest.fixture(scope="module")
def store(made: JobWorld) -> ObjectStore:
    return stores.objects(made.settings)


def records_of(store: ObjectStore, run: str) -> Records:
    return Records(store, SWEEPS.folder(run))


def ended(store: ObjectStore) -> dict[str, bytes]:
    """What is written of every trial of every sweep."""
    return {name: store.read(f"{SWEEPS.root}/{name}") for name in store.files(SWEEPS.root) if "/trials/" in name}


@pytest.fixture(scope="module")
def killed(made: JobWorld, store: ObjectStore) -> dict[str, bytes]:
    """The trials of a sweep in a process of its own that was killed as soon as one had ended."""
    spec = made.spec.with_name("retrieval.toml")
    process = job_process(made, "tune", "--spec", str(spec), log=spec.with_suffix(".log"))
    try:
        until(lambda: ended(store) or process.poll() is not None, spec.with_suffix(".log").read_text)
        assert process.poll() is None, spec.with_suffix(".log").read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return ended(store)


@pytest.fixture(scope="module")
def swept(made: JobWorld, killed: dict[str, bytes]) -> JobResult:
    """The same sweep, gone on with."""
    return run_job("tune", made.settings, file=made.spec.with_name("retrieval.toml"))


def test_a_killed_sweep_goes_on_without_the_trials_that_had_ended(
    killed: dict[str, bytes], swept: JobResult, store: ObjectStore
) -> None:
    assert 1 <= len(killed) < 4
    assert swept.metrics["num_trials"] == 4
    assert {name: ended(store)[name] for name in killed} == killed
    records = records_of(store, swept.output).all()
    assert [record.number for record in records] == [1, 2, 3, 4]
    assert len({json.dumps(record.params) for record in records}) == 4


def test_the_first_trial_is_the_default_and_the_best_is_at_least_as_good(swept: JobResult, store: ObjectStore) -> None:
    first, *_ = records_of(store, swept.output).all()
    config = TowersConfig()
    assert first.params == {"learning_rate": config.learning_rate, "id_dim": config.id_dim}
    assert swept.metrics["best recall@100"] >= swept.metrics["default recall@100"] == first.value


def test_one_run_in_mlflow_has_a_child_for_every_trial(made: JobWorld, swept: JobResult, store: ObjectStore) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(made.settings.need("mlflow_uri"))
    parent = SWEEPS.find(store, swept.output).mlflow_run
    experiment = client.get_run(parent).info.experiment_id
    children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    sweeps = client.search_runs([experiment], "tags.job = 'tune'")
    records = {f"trial {record.number}": record for record in records_of(store, swept.output).all()}

    assert [run.info.run_id for run in sweeps] == [parent]
    assert client.get_run(parent).info.status == "FINISHED"
    assert {child.info.run_name for child in children} == records.keys()
    for child in children:
        record = records[str(child.info.run_name)]
        curve = client.get_metric_history(child.info.run_id, "recall_at_100")
        assert [point.value for point in curve] == [point["recall@100"] for point in record.curve]
        assert float(child.data.params["learning_rate"]) == record.params["learning_rate"]


@pytest.fixture(scope="module")
def trained(made: JobWorld, swept: JobResult, store: ObjectStore) -> JobResult:
    """Towers by the best spec, as it is."""
    best = made.spec.with_name("best.toml")
    best.write_bytes(store.read(f"{SWEEPS.folder(swept.output)}/best.toml"))
    return run_job("train_retrieval", made.settings, file=best)


def test_the_best_spec_trains_as_it_is(trained: JobResult, swept: JobResult, store: ObjectStore) -> None:
    used = TOWERS.find(store, trained.output).spec["towers"]
    best = json.loads(store.read(f"{SWEEPS.folder(swept.output)}/report.json"))["best"]["params"]
    assert {name: used[name] for name in best} == best
    assert used["embedding_dim"] == 16


def test_the_report_needs_nothing_else(swept: JobResult, store: ObjectStore) -> None:
    page = store.read(f"{SWEEPS.folder(swept.output)}/report.html").decode()
    body = page.split("</head>")[1]
    assert all(title in body for title in ("History", "Curves", "Parallel coordinates", "One by one", "Best spec"))
    assert "src=" not in body
    assert "href=" not in body


def test_a_sweep_that_is_done_is_not_done_again(made: JobWorld, swept: JobResult, store: ObjectStore) -> None:
    before = ended(store)
    again = run_job("tune", made.settings, file=made.spec.with_name("retrieval.toml"))
    assert (again.output, again.reused) == (swept.output, True)
    assert ended(store) == before


@pytest.fixture(scope="module")
def interrupted(made: JobWorld, trained: JobResult, store: ObjectStore) -> dict[str, bytes]:
    """The trials of a sweep of the ranker until Ctrl-C, which comes when the first has ended."""
    before, over = ended(store), Event()

    def press() -> None:
        until(lambda: over.is_set() or len(ended(store)) > len(before), lambda: "no trial has ended")
        if not over.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    Thread(target=press, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_job("tune", made.settings, file=made.spec.with_name("ranking.toml"))
    finally:
        over.set()
    return {name: text for name, text in ended(store).items() if name not in before}


@pytest.fixture(scope="module")
def ranked(made: JobWorld, interrupted: dict[str, bytes]) -> JobResult:
    """The same sweep, gone on with, for more trials than were asked for at first."""
    return run_job("tune", made.settings, file=made.spec.with_name("ranking.toml"), assignments=["num_trials=7"])


def test_ctrl_c_holds_no_cpu_afterwards(interrupted: dict[str, bytes]) -> None:
    until(lambda: ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"], lambda: "a trial still runs")
    assert 1 <= len(interrupted) < 6


def test_an_interrupted_sweep_goes_on_for_more_trials(
    interrupted: dict[str, bytes], ranked: JobResult, store: ObjectStore
) -> None:
    assert interrupted.items() <= ended(store).items()
    assert {name.partition("/")[0] for name in interrupted} == {ranked.output}
    assert len(records_of(store, ranked.output).all()) == ranked.metrics["num_trials"] == 7
    assert ranked.metrics["best ndcg@10"] >= ranked.metrics["default ndcg@10"] > 0


def test_a_trial_that_others_beat_is_stopped_early(ranked: JobResult, store: ObjectStore) -> None:
    records = records_of(store, ranked.output).all()
    longest = max(len(record.curve) for record in records)
    stopped = [record for record in records if record.state == "stopped"]
    assert stopped
    assert all(len(record.curve) < longest for record in stopped)


def fails_where_much_is_dropped(chosen: dict[str, Any]) -> None:
    reporter = Reporter("recall@100")
    reporter.report({"recall@100": chosen["dropout"]})
    if chosen["dropout"] > 0.3:
        raise ValueError(f"{chosen['dropout']} is too much")
    reporter.end()


def reports_for_ever(chosen: dict[str, Any]) -> None:
    reporter = Reporter("recall@100")
    while True:
        reporter.report({"recall@100": chosen["dropout"]})


@pytest.fixture
def scratch(driven_cluster: str, tmp_path: Path) -> Iterator[ObjectStore]:
    """A store for a sweep of its own, on the cluster."""
    settings = Settings(var_dir=tmp_path, ray_address=driven_cluster)
    with ray_session(settings):
        yield stores.objects(settings)


def swept_with(trial: Trial, store: ObjectStore, *, time_left_s: float | None = None) -> list[TrialRecord]:
    records: list[TrialRecord] = []
    space = distributions({"dropout": Dimension(choices=(0.1, 0.2, 0.4))}, TowersConfig)
    watcher = Watcher("recall@100", first_number=1, on_report=lambda _, __: None, on_record=records.append)
    limits = {"longest": 1_000_000, "grace": 1_000, "reduction": 3, "seed": 1}
    sweep = Sweep(space, {"dropout": 0.4}, num_trials=6, concurrent=2, time_left_s=time_left_s, **limits)
    run_sweep(sweep, trial, past=[], watcher=watcher, store=store, folder="learning-models/attempts/test")
    return records


@pytest.mark.slow
def test_a_trial_that_fails_is_told_of_and_the_others_go_on(scratch: ObjectStore) -> None:
    records = swept_with(fails_where_much_is_dropped, scratch)
    failed = [record for record in records if record.state == "failed"]
    assert len(records) == 6
    assert failed
    assert all("0.4 is too much" in record.error for record in failed)
    assert {record.params["dropout"] for record in records if record.state == "finished"} <= {0.1, 0.2}


def test_trials_under_way_when_the_time_is_over_do_not_count(scratch: ObjectStore) -> None:
    assert swept_with(reports_for_ever, scratch, time_left_s=5.0) == []


def test_the_best_ranker_is_a_spec_of_its_job(ranked: JobResult, store: ObjectStore, tmp_path: Path) -> None:
    best, told = tmp_path / "best.toml", json.loads(store.read(f"{SWEEPS.folder(ranked.output)}/report.json"))
    best.write_bytes(store.read(f"{SWEEPS.folder(ranked.output)}/best.toml"))
    used = load_spec("train_ranking", best).model_dump()["ranker"]
    assert {name: used[name] for name in told["best"]["params"]} == told["best"]["params"]
    assert (used["num_trees"], used["max_queries"]) == (60, 400)
