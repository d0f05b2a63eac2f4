"""Sweeps on a real cluster: short trials on a small world, killed, interrupted, gone on with, their best used."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.adapters.object_store import ObjectStore
from app.models.configs import TowersConfig
from jobs import stores, train_retrieval
from jobs.artefacts import SWEEPS, TOWERS
from jobs.job import JobResult
from jobs.ray_session import one_ray_session
from jobs.runner import run_job
from jobs.spec import load_spec
from jobs.tuning.records import Records
from tests.cluster.jobworld import (
    DEADLINE_S,
    JobWorld,
    job_process,
    job_world,
    spec_of,
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
choices = [16, 64]
"""

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
choices = [5, 15]
"""


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_url: str,
    milvus_lite_uri: str,
    mlflow_uri: str,
    ray_cluster: str,
) -> Iterator[JobWorld]:
    """A world whose towers are trained."""
    with job_world(
        tmp_path_factory.mktemp("tune"),
        postgres_url=postgres_url,
        redis_url=redis_url,
        milvus_uri=milvus_lite_uri,
        mlflow_uri=mlflow_uri,
    ) as world:
        write_addresses(world.settings)
        settings = world.settings.model_copy(update={"ray_address": ray_cluster})
        for name, text in (("retrieval", RETRIEVAL), ("ranking", RANKING)):
            world.spec.with_name(f"{name}.toml").write_text(text)
        with one_ray_session():
            for job in ("ingest_events", "build_features"):
                run_job(job, settings)
            train_retrieval.run(spec_of(world, "train_retrieval"), settings)
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


def test_a_trial_that_others_beat_is_stopped(swept: JobResult, store: ObjectStore) -> None:
    records = records_of(store, swept.output).all()
    assert {len(record.curve) for record in records if record.state == "finished"} == {2}
    assert all(len(record.curve) < 2 for record in records if record.state == "stopped")


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


def test_the_best_spec_trains_as_it_is(made: JobWorld, swept: JobResult, store: ObjectStore, tmp_path: Path) -> None:
    best = tmp_path / "best.toml"
    best.write_bytes(store.read(f"{SWEEPS.folder(swept.output)}/best.toml"))
    report = json.loads(store.read(f"{SWEEPS.folder(swept.output)}/report.json"))

    trained = run_job("train_retrieval", made.settings, file=best)

    used = TOWERS.find(store, trained.output).spec["towers"]
    assert {name: used[name] for name in report["best"]["params"]} == report["best"]["params"]
    assert used["embedding_dim"] == 16


def test_the_report_needs_nothing_else(swept: JobResult, store: ObjectStore) -> None:
    page = store.read(f"{SWEEPS.folder(swept.output)}/report.html").decode()
    body = page.split("</head>")[1]
    assert all(title in body for title in ("History", "Curves", "Parallel coordinates", "One by one", "Best spec"))
    assert "src=" not in body
    assert "href=" not in body


def test_a_sweep_that_is_done_is_not_done_again_but_goes_on_for_more(
    made: JobWorld, swept: JobResult, store: ObjectStore
) -> None:
    spec = made.spec.with_name("retrieval.toml")
    again = run_job("tune", made.settings, file=spec)
    more = run_job("tune", made.settings, file=spec, assignments=["num_trials=5"])
    assert (again.output, again.reused) == (swept.output, True)
    assert (more.output, more.reused, more.metrics["num_trials"]) == (swept.output, False, 5)


def test_ctrl_c_leaves_nothing_running_and_the_sweep_goes_on(
    made: JobWorld, store: ObjectStore, swept: JobResult, tmp_path: Path
) -> None:
    log, spec, before = tmp_path / "job.log", made.spec.with_name("ranking.toml"), ended(store)
    process = job_process(made, "tune", "--spec", str(spec), log=log)
    children: list[psutil.Process] = []
    try:
        until(lambda: len(ended(store)) > len(before) or process.poll() is not None, log.read_text)
        assert process.poll() is None, log.read_text()
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        process.wait(DEADLINE_S)
    finally:
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    interrupted = {name: text for name, text in ended(store).items() if name not in before}

    result = run_job("tune", made.settings, file=spec)

    assert process.returncode != 0
    assert "Traceback" not in log.read_text()
    assert not alive, [child.cmdline()[:3] for child in alive]
    assert 1 <= len(interrupted) < 6
    assert interrupted.items() <= ended(store).items()
    assert result.metrics["num_trials"] == 6
    assert result.metrics["best ndcg@10"] >= result.metrics["default ndcg@10"] > 0
    best = tmp_path / "best.toml"
    best.write_bytes(store.read(f"{SWEEPS.folder(result.output)}/best.toml"))
    assert load_spec("train_ranking", best).model_dump()["ranker"]["num_trees"] == 60
