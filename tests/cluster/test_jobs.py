"""The jobs on a real cluster and real stores: a small generated world, from its events to a live release."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from app.adapters.keyring import load_keyring
from app.adapters.milvus_store import MilvusStore
from app.adapters.object_store import ObjectStore
from app.domain.releases import FULL, MANIFEST, PRODUCTION, STAGING
from app.errors import Conflict, InvalidInput, NotFound
from app.features.dataset import build_dataset
from app.features.examples import from_table, interaction_examples
from app.models.release import load_release
from jobs import build_features, build_index, publish_release, releases, stores, train_ranking, train_retrieval
from jobs.artefacts import FEATURES, RANKERS, TOWERS, file_hashes
from jobs.job import JobResult
from jobs.runner import run_job
from jobs.snapshots import EXAMPLES, ITEMS, LEARNER_AGGREGATES, Snapshot
from tests.cluster.jobworld import JobWorld, job_process, job_world, spec_of, until, write_addresses
from tests.cluster.training import Recovered, trained_with_a_kill


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_url: str,
    milvus_lite_uri: str,
    mlflow_uri: str,
    driven_cluster: str,
) -> Iterator[JobWorld]:
    with job_world(
        tmp_path_factory.mktemp("jobs"),
        postgres_url=postgres_url,
        redis_url=redis_url,
        milvus_uri=milvus_lite_uri,
        mlflow_uri=mlflow_uri,
    ) as world:
        write_addresses(world.settings)
        settings = world.settings.model_copy(update={"ray_address": driven_cluster})
        yield JobWorld(settings, world.world, world.spec)


@pytest.fixture(scope="module")
def store(made: JobWorld) -> ObjectStore:
    return stores.objects(made.settings)


@pytest.fixture(scope="module")
def killed_after_towers(made: JobWorld, store: ObjectStore) -> None:
    """A pipeline in a process of its own, killed as soon as its towers are there."""
    log = made.spec.with_name("killed.log")
    process = job_process(made, "pipeline", "--spec", str(made.spec), log=log)
    try:
        until(lambda: store.exists(f"{TOWERS.root}/latest.json") or process.poll() is not None, log.read_text)
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def released(made: JobWorld, killed_after_towers: None) -> JobResult:
    """The release of the next run after the kill."""
    return run_job("pipeline", made.settings, file=made.spec)


@pytest.fixture
def towers(released: JobResult, store: ObjectStore) -> str:
    """The towers of the release."""
    return RANKERS.find(store, "latest").inputs["towers"]


def test_a_run_after_a_kill_goes_on_with_what_was_finished(
    made: JobWorld, released: JobResult, store: ObjectStore
) -> None:
    towers = store.read_json(f"{TOWERS.root}/latest.json")["run"]
    folders = {name.split("/")[0] for name in store.files(TOWERS.root)} - {"latest.json", "inputs"}
    assert folders == {towers}  # trained once
    assert not released.reused


def test_a_second_run_does_nothing_again(made: JobWorld, released: JobResult, store: ObjectStore) -> None:
    before = {folder: store.files(folder) for folder in ("learning-models", "learning-features")}
    again = run_job("pipeline", made.settings, file=made.spec)
    assert (again.output, again.reused) == (released.output, True)
    assert {folder: store.files(folder) for folder in before} == before


def test_features_made_in_parts_are_those_made_at_once(made: JobWorld, released: JobResult, store: ObjectStore) -> None:
    run = FEATURES.find(store, "latest").run
    snapshot = Snapshot(store.uri_root, FEATURES.folder(run))
    hidden = map(load_keyring(made.settings).current.of_column, (made.world.users, made.world.events))
    dataset = build_dataset(made.world.contents, *hidden)
    arrays = dataset.events
    columns = {name: getattr(arrays, name) for name in ("user", "content", "event_type", "ts")}
    cohorts = dataset.vocabulary.cohort_of_user
    expected = in_order(interaction_examples(pa.table(columns), cohort_of_user=cohorts))
    stored = pq.read_table(store.path(f"{FEATURES.folder(run)}/{EXAMPLES}"), filesystem=store.filesystem)
    found = in_order(stored.select(expected.column_names))
    assert found.num_rows == expected.num_rows > 500
    for mine, theirs in zip(vars_of(from_table(found)), vars_of(from_table(expected)), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert snapshot.catalogue().content_ids == dataset.catalogue.content_ids


def in_order(table: Any) -> Any:
    return table.sort_by([("user_index", "ascending"), ("now", "ascending"), ("content", "ascending")])


def vars_of(examples: Any) -> list[Any]:
    return [
        examples.content,
        examples.strength,
        examples.learners.history,
        examples.learners.history_age_s,
        examples.learners.session_position,
        examples.learners.completion_rate,
        examples.learners.cohort_index,
    ]


def test_aggregates_count_what_happened(made: JobWorld, released: JobResult, store: ObjectStore) -> None:
    folder = FEATURES.folder(FEATURES.find(store, "latest").run)
    items = pq.read_table(store.path(f"{folder}/{ITEMS}"), filesystem=store.filesystem)
    learners = pq.read_table(store.path(f"{folder}/{LEARNER_AGGREGATES}"), filesystem=store.filesystem)
    events = made.world.events
    for kind, column in (("view", "views"), ("complete", "completes")):
        counted = events.filter(pc.field("event_type") == kind)["content_id"].value_counts()
        truth = {c["values"].as_py(): c["counts"].as_py() for c in counted}
        assert {
            i: n for i, n in zip(*(items[c].to_pylist() for c in ("content_id", column)), strict=True) if n
        } == truth
    views = sum(learners["total_views"].to_pylist())
    assert views == events.filter(pc.field("event_type") == "view").num_rows
    assert learners.num_rows == len(events["user_id"].unique())
    assert 0 < max(items["popularity"].to_pylist()) <= 1


def test_popularity_is_in_redis_and_expires(made: JobWorld, released: JobResult, store: ObjectStore) -> None:
    from redis import Redis

    folder = FEATURES.folder(FEATURES.find(store, "latest").run)
    items = pq.read_table(store.path(f"{folder}/{ITEMS}"), filesystem=store.filesystem)
    with Redis.from_url(made.settings.need("redis_url"), decode_responses=True) as redis:
        for content_id, popularity in zip(*(items[c].to_pylist() for c in ("content_id", "popularity")), strict=True):
            key = f"item:{content_id}:popularity"
            assert float(str(redis.get(key))) == pytest.approx(popularity)
            assert 0 < float(str(redis.ttl(key))) <= 6 * 3600


def test_the_release_is_whole_and_loads(
    made: JobWorld, released: JobResult, store: ObjectStore, tmp_path: Path
) -> None:
    store.download(f"learning-models/releases/{released.output}", tmp_path / "release")
    release = load_release(tmp_path / "release")
    hashes = file_hashes(tmp_path / "release")
    del hashes[MANIFEST]
    assert release.manifest.files == hashes
    assert len(release.items) == len(release.catalogue) == release.manifest.num_contents == 60
    assert release.items.embeddings.shape == (60, 16)
    assert release.manifest.collection in MilvusStore(made.settings.need("milvus_uri")).collections()
    assert set(release.manifest.runs) >= {"build_features", "train_retrieval", "train_ranking", "build_index"}
    assert set(release.manifest.metrics) >= {FULL, "popular", "item_knn"}
    assert 0 < release.manifest.metrics[FULL]["calibration_error"] < 1


def test_publishing_stages_but_does_not_promote(made: JobWorld, released: JobResult) -> None:
    with releases.registry(made.settings) as known:
        assert known.aliased(STAGING) == released.output


def test_mlflow_has_each_run_with_its_curves(made: JobWorld, released: JobResult, store: ObjectStore) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(made.settings.need("mlflow_uri"))
    run = client.get_run(TOWERS.find(store, "latest").mlflow_run)
    assert run.info.status == "FINISHED"
    assert run.data.params["towers.num_epochs"] == "2"
    curve = client.get_metric_history(run.info.run_id, "epoch_loss")
    assert [point.step for point in curve] == [0, 1]
    assert run.data.metrics["ndcg_at_10"] == TOWERS.find(store, "latest").metrics["ndcg@10"]


def test_other_inputs_give_other_features(made: JobWorld, released: JobResult, store: ObjectStore) -> None:
    """A learner who opts out leaves no example behind."""
    user = made.world.events["user_id"][0].as_py()
    hidden = load_keyring(made.settings).current.of(user)
    with psycopg.connect(made.settings.need("postgres_url"), autocommit=True) as connection:
        connection.execute("UPDATE users SET opted_out_at = now() WHERE user_id = %s", (user,))
    try:
        result = build_features.run(build_features.Spec(), made.settings)
    finally:
        with psycopg.connect(made.settings.need("postgres_url"), autocommit=True) as connection:
            connection.execute("UPDATE users SET opted_out_at = NULL")
    assert not result.reused
    assert hidden not in Snapshot(store.uri_root, FEATURES.folder(result.output)).vocabulary().user_ids
    assert build_features.run(build_features.Spec(), made.settings).reused  # as before, found again


@pytest.mark.slow
def test_two_workers_train_towers_as_one_does(made: JobWorld, towers: str, store: ObjectStore) -> None:
    alone = TOWERS.find(store, towers)
    spec = spec_of(made, "train_retrieval", "num_workers=2", f'features="{alone.inputs["features"]}"')
    together = train_retrieval.run(spec, made.settings)
    assert together.metrics["num_examples"] == alone.metrics["num_examples"]
    assert together.metrics["recall@100"] == pytest.approx(alone.metrics["recall@100"], abs=0.15)


@pytest.fixture(scope="module")
def recovered(made: JobWorld, released: JobResult, store: ObjectStore) -> Recovered:
    settings, longer = made.settings, ("towers.num_epochs=12", "towers.patience=12")
    features = RANKERS.find(store, "latest").inputs["features"]
    spec = spec_of(made, "train_retrieval", *longer, f'features="{features}"')
    return trained_with_a_kill(spec, settings)


def test_a_worker_killed_while_it_trains_goes_on_from_its_last_checkpoint(recovered: Recovered) -> None:
    told = recovered.told
    assert recovered.num_killed == 1
    assert {epoch for epoch, _ in told} == set(range(12))
    # Again: the epoch under way, and those whose checkpoints were on their way to the trainer. From anew it were five.
    assert len(told) <= 15, f"more was trained again than had no checkpoint: {told}"
    assert max(loss for epoch, loss in told if epoch > 1) < dict(told)[1], "the weights were not those of before"


def test_ranker_and_index_of_different_towers_make_no_release(
    made: JobWorld, towers: str, recovered: Recovered, store: ObjectStore
) -> None:
    ranker, others = RANKERS.find(store, "latest"), recovered.towers
    index = build_index.run(build_index.Spec(towers=others), made.settings).output
    with pytest.raises(Conflict, match=f"of towers {towers}, index {index} of {others}"):
        publish_release.run(publish_release.Spec(ranker=ranker.run, index=index), made.settings)
    with pytest.raises(NotFound, match="run the job train_ranking"):
        publish_release.run(publish_release.Spec(ranker="nothing"), made.settings)


@pytest.mark.slow
def test_xgboost_ray_fits_the_same_ranker(made: JobWorld, towers: str, store: ObjectStore) -> None:
    one = RANKERS.find(store, "latest")
    spec = ('backend="xgboost-ray"', f'towers="{towers}"')
    other = train_ranking.run(spec_of(made, "train_ranking", *spec), made.settings)
    assert (other.output != one.run, other.metrics["num_rows"]) == (True, one.metrics["num_rows"])
    assert other.metrics["ndcg@10"] == pytest.approx(one.metrics["ndcg@10"], abs=0.02)


def test_promotion_and_the_way_back(made: JobWorld, released: JobResult, towers: str, store: ObjectStore) -> None:
    first, settings = released.output, made.settings
    index = build_index.run(build_index.Spec(towers=towers), settings).output
    with pytest.raises(NotFound, match="no release 'zzz'"):
        releases.promote(settings, "zzz")
    assert releases.promote(settings).release_id == first  # the staged one
    with pytest.raises(Conflict, match="no release to go back to"):
        releases.rollback(settings)
    spec = spec_of(made, "publish_release", "force=true", f'index="{index}"')
    second = publish_release.run(spec, settings).output
    assert first != second == releases.promote(settings, second[:-1]).release_id
    assert [releases.rollback(settings).release_id for _ in range(2)] == [first, second]
    with releases.registry(settings) as known, pytest.raises(InvalidInput, match="give more of it"):
        releases.find_release(known, "")
    shutil.rmtree(store.path(f"learning-models/releases/{first}"))
    with pytest.raises(NotFound, match="files of release"):
        releases.rollback(settings)
    with releases.registry(settings) as known:
        assert known.aliased(PRODUCTION) == second


def test_what_falls_short_of_the_live_release_is_not_promoted_unless_forced(
    made: JobWorld, released: JobResult, store: ObjectStore
) -> None:
    with releases.registry(made.settings) as known:
        live = releases.find_release(known, known.aliased(PRODUCTION) or released.output)
        worse = live.model_copy(update={"release_id": "worse", "metrics": {FULL: {"ndcg@10": 0.0}}})
        store.write(f"learning-models/releases/worse/{MANIFEST}", worse.model_dump_json().encode())
        known.register(worse)
        known.point(PRODUCTION, live.release_id)
        with pytest.raises(Conflict, match=r"falls short of .*ndcg@10.*--force"):
            releases.promote(made.settings, "worse")
        assert known.aliased(PRODUCTION) == live.release_id
        assert releases.promote(made.settings, "worse", force=True) == worse


def test_a_collection_that_milvus_lost_is_built_again(made: JobWorld, towers: str) -> None:
    spec, milvus = build_index.Spec(towers=towers, force=True), MilvusStore(made.settings.need("milvus_uri"))
    collection = f"learnrec_{build_index.run(spec, made.settings).output}"
    assert build_index.run(again := build_index.Spec(towers=towers), made.settings).reused
    milvus.drop(collection)
    assert not build_index.run(again, made.settings).reused
    assert f"learnrec_{build_index.run(again, made.settings).output}" in milvus.collections()
