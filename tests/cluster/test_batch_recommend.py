"""Lists in bulk on a real cluster: the same as the stages answer one by one, for everybody who may be asked for."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from numpy.typing import NDArray

from app.adapters.faiss_index import FaissIndex
from app.adapters.keyring import load_keyring
from app.adapters.mlflow_registry import MODEL, MlflowRegistry
from app.adapters.postgres.directory import PostgresLearnerDirectory
from app.adapters.postgres.migrations import migrate
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.adapters.redis_features import RedisFeatures
from app.domain.ids import canonical_id
from app.domain.learners import WINDOW, Learners
from app.domain.releases import PRODUCTION
from app.errors import InvalidInput, NotFound, Unavailable
from app.features.dataset import build_dataset
from app.features.examples import take_learners
from app.features.learners import learner_features, windows_at
from app.features.ranking import OnAxes, ranking_features
from app.models.nearest import nearest_items
from app.models.release import Release, load_release
from app.models.retrieval import merge_candidates
from app.policy.order import ordered
from app.ports.vector_index import Neighbours
from app.recommend.known import Known, know
from app.settings import Settings
from jobs import batch_recommend, stores
from jobs.artefacts import RECOMMENDATIONS
from jobs.batch_recommend import Spec
from jobs.bulk import LISTS
from jobs.job import JobResult
from tests import rows
from tests.cluster.jobworld import DEADLINE_S
from tests.serving.tiny import SECOND, Tiny, Trained, publish

pytestmark = pytest.mark.timeout(DEADLINE_S)

K, FIRST = 25, 10


@dataclass(frozen=True)
class Place:
    """Stores with a small world in them, a release in production, and what has happened since."""

    settings: Settings
    tiny: Tiny
    release: Release
    opted_out: str
    just_completed: tuple[str, str]  # learner, content: known to Redis only
    latest: pa.Table  # that event
    new: str  # a learner who came after the release


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_url: str,
    redis_url: str,
    milvus_lite_uri: str,
    mlflow_uri: str,
    driven_cluster: str,
    tiny: Tiny,
    releases: dict[str, Trained],
) -> Iterator[Place]:
    folder, database = tmp_path_factory.mktemp("bulk"), f"bulk_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
        settings = Settings(
            var_dir=folder / "var",
            postgres_url=f"{postgres_url.rpartition('/')[0]}/{database}",
            redis_url=redis_url,
            milvus_uri=milvus_lite_uri,
            mlflow_uri=mlflow_uri,
            ray_address=driven_cluster,
        )
        publish(settings, releases[SECOND])
        yield _settle(settings, tiny, load_release(releases[SECOND].folder))
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
    MlflowClient(mlflow_uri).delete_registered_model(MODEL)  # other tests' first release is the first again


def _settle(settings: Settings, tiny: Tiny, release: Release) -> Place:
    migrate(settings.need("postgres_url"))
    with PostgresWarehouse(settings.need("postgres_url")) as warehouse:
        warehouse.put_users(tiny.world.users)
        warehouse.put_contents(tiny.world.contents)
        warehouse.put_events(tiny.world.events)
        new, seen = canonical_id("came later"), tiny.world.contents["content_id"][0].as_py()
        warehouse.put_events(rows.events([new], [seen], start=datetime.now(UTC)))
    users = tiny.world.users["user_id"].to_pylist()
    with psycopg.connect(settings.need("postgres_url"), autocommit=True) as connection:
        connection.execute("UPDATE users SET opted_out_at = now() WHERE user_id = %s", (users[3],))
    fresh = release.catalogue.content_ids[int(release.items.standing.popular[0, 0])]
    latest = rows.events([users[5]], [fresh], kind="complete", start=datetime.now(UTC))
    asyncio.run(_record(settings, latest))
    registry = MlflowRegistry(settings.need("mlflow_uri"))
    registry.point(PRODUCTION, release.release_id)
    registry.close()
    return Place(settings, tiny, release, users[3], (users[5], fresh), latest, new)


async def _record(settings: Settings, events: pa.Table) -> None:
    async with RedisFeatures(settings.need("redis_url")) as features:
        await features.record(events)


@pytest.fixture(scope="module")
def everybody(place: Place) -> JobResult:
    return batch_recommend.run(Spec(k=K, batch_size=50, num_actors=2, raw_ids=True), place.settings)


@pytest.fixture(scope="module")
def lists(place: Place, everybody: JobResult) -> pa.Table:
    return read(place, everybody)


def read(place: Place, result: JobResult) -> pa.Table:
    store = stores.objects(place.settings)
    folder = RECOMMENDATIONS.folder(result.output)
    parts = [name for name in store.files(folder) if name.endswith(".parquet")]
    tables = [pq.read_table(store.path(f"{folder}/{name}"), filesystem=store.filesystem) for name in parts]
    return pa.concat_tables(tables)


def of(lists: pa.Table, user_id: str) -> list[str]:
    return lists.filter(pc.field("user_id") == user_id)["content_id"].to_pylist()


async def _known(place: Place, user_ids: list[str], now: datetime) -> Known:
    settings, release = place.settings, place.release
    async with (
        PostgresLearnerDirectory(settings.need("postgres_url")) as directory,
        RedisFeatures(settings.need("redis_url")) as features,
    ):
        records = await directory.learners(user_ids, window=WINDOW)
        dim = release.manifest.embedding_dim
        online = await features.learners(user_ids, release=release.release_id, dim=dim)
    return know(user_ids, records=records, online=online, release=release, now=now)


def test_the_first_ten_are_what_the_stages_answer(place: Place, everybody: JobResult, lists: pa.Table) -> None:
    release, store = place.release, stores.objects(place.settings)
    now = datetime.fromisoformat(RECOMMENDATIONS.find(store, everybody.output).inputs["now"])
    user_ids = place.tiny.world.users["user_id"].to_pylist()
    known = asyncio.run(_known(place, user_ids, now))
    personal = np.flatnonzero(known.personal)
    learners = take_learners(known.learners, personal)
    embeddings = release.user_tower().embed(learners)
    nearest = FaissIndex(release.faiss_path).search_now(embeddings, 100)
    candidates = merge_candidates(release.items, learners, nearest, exclude=known.exclude[personal], limit=100)
    scores = release.ranker().score(learners, embeddings, candidates, items=release.items)
    best = ordered(candidates, scores, limit=FIRST)

    assert len(personal) == len(user_ids) - 1  # all but the one who opted out
    for row, index, score in zip(personal, best.index, best.score, strict=True):
        mine = lists.filter(pc.field("user_id") == user_ids[row]).slice(0, FIRST)
        assert mine["content_id"].to_pylist() == [release.catalogue.content_ids[i] for i in index if i >= 0][:FIRST]
        np.testing.assert_allclose(mine["score"].to_numpy(), score, atol=1e-5)


def test_features_of_served_requests_are_to_the_bit_those_of_training(place: Place) -> None:
    """Learners asked for one by one, from PostgreSQL and Redis, against all at once, from the sorted events."""
    release, world, now = place.release, place.tiny.world, datetime.now(UTC) + timedelta(minutes=1)
    user_ids = [place.just_completed[0], *(u for u in release.vocabulary.user_ids[:40] if u != place.opted_out)]
    served = [asyncio.run(_known(place, [user_id], now)).learners for user_id in user_ids]
    events = build_dataset(world.contents, world.users, pa.concat_tables([world.events, place.latest])).events
    user = release.vocabulary.index_of(user_ids)
    windows = windows_at(events, user, np.full(len(user), int(now.timestamp())))
    trained = learner_features(windows, user_index=user, cohort_index=release.vocabulary.cohort_of_user[user])
    for name in (field.name for field in fields(Learners)):
        found = np.concatenate([getattr(learners, name) for learners in served])
        np.testing.assert_array_equal(found, getattr(trained, name), err_msg=name)

    embeddings, items = release.user_tower().embed(trained), release.items
    nearest = nearest_items(embeddings, items.embeddings, limit=K)
    on_axes = OnAxes.of(release.ranker().axes, items=items)

    def rows_of(learners: Learners, part: slice) -> NDArray[np.float32]:
        near = Neighbours(nearest.index[part], nearest.distance[part])
        nothing = np.full((len(learners), 0), -1, np.int32)
        candidates = merge_candidates(items, learners, near, exclude=nothing, limit=K)
        return ranking_features(learners, embeddings[part], candidates, items=items, on_axes=on_axes)

    alone = [rows_of(learners, slice(row, row + 1)) for row, learners in enumerate(served)]
    np.testing.assert_array_equal(np.concatenate(alone), rows_of(trained, slice(None)))


def test_every_learner_has_a_whole_list_of_different_contents(
    place: Place, everybody: JobResult, lists: pa.Table
) -> None:
    num_learners = place.tiny.world.users.num_rows + 1
    assert lists.schema.equals(LISTS)
    assert everybody.metrics["learners"] == num_learners
    assert everybody.metrics["rows"] == lists.num_rows == num_learners * K
    assert lists["position"].to_pylist() == list(range(1, K + 1)) * num_learners
    assert lists.group_by(["user_id", "content_id"]).aggregate([]).num_rows == lists.num_rows
    assert lists["release"].unique().to_pylist() == [place.release.release_id]
    assert set(lists["source"].unique().to_pylist()) > {"popular"}


def test_what_was_completed_is_left_out_even_a_moment_ago(place: Place, lists: pa.Table) -> None:
    completed = place.tiny.world.events.filter(pc.field("event_type") == "complete").select(["user_id", "content_id"])
    stored = set(zip(completed["user_id"].to_pylist(), completed["content_id"].to_pylist(), strict=True))
    shown = set(zip(lists["user_id"].to_pylist(), lists["content_id"].to_pylist(), strict=True))
    opted_out = {pair for pair in shown if pair[0] == place.opted_out}
    assert place.just_completed not in stored
    assert not (shown - opted_out) & (stored | {place.just_completed})


def test_those_without_a_personal_answer_get_what_is_popular_and_are_counted(place: Place, tmp_path: Path) -> None:
    learner = place.tiny.world.users["user_id"][0].as_py()
    file = tmp_path / "learners.csv"
    file.write_text(f"name,user_id\nA,nobody\nB,{place.opted_out}\nC,{learner}\nD,{learner}\n")

    result = batch_recommend.run(Spec(k=FIRST, learners=str(file)), place.settings)

    lists, popular = read(place, result), place.release.items.standing.popular[0]
    key = load_keyring(place.settings).current
    nobody, out, known = key.of_all([canonical_id("nobody"), place.opted_out, learner])
    assert {name: result.metrics[name] for name in ("learners", "unknown", "opted_out", "ranker", "popular")} == {
        "learners": 3,
        "unknown": 1,
        "opted_out": 1,
        "ranker": 1,
        "popular": 2,
    }
    expected = [place.release.catalogue.content_ids[i] for i in popular[:FIRST]]
    assert of(lists, nobody) == of(lists, out) == expected
    assert lists["user_id"].unique().to_pylist() == [nobody, out, known], "by pseudonyms, unless raw ids are wanted"


def test_a_learner_who_came_after_the_release_is_answered_by_what_they_did(place: Place, everybody: JobResult) -> None:
    assert everybody.metrics["ranker"] == place.tiny.world.users.num_rows  # without the one who opted out


def test_a_store_that_is_away_makes_no_lists_instead_of_bad_ones(place: Place, everybody: JobResult) -> None:
    before = RECOMMENDATIONS.find(stores.objects(place.settings), "latest").run
    away = place.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    with pytest.raises(Unavailable, match="redis does not answer"):
        batch_recommend.run(Spec(learners=[place.opted_out]), away)
    assert RECOMMENDATIONS.find(stores.objects(place.settings), "latest").run == before


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"learners": ["a", "", "x" * 65]}, InvalidInput, "2 of 3 learners have no id: '' \\(missing user_id\\)"),
        ({"learners": "nowhere.csv"}, InvalidInput, "give all, a list of ids, or a file"),
        ({"learners": []}, NotFound, "there are no learners"),
        ({"release": "zzz"}, NotFound, "no release 'zzz'"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_starts(
    place: Place, changes: dict[str, Any], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        batch_recommend.run(Spec(**changes), place.settings)
