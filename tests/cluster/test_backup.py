"""Everything is destroyed and comes back as it was; what learners wished since stays; half of anything is noticed."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.adapters import logs
from app.adapters.keyring import add_key, load_keyring
from app.adapters.milvus_store import MilvusStore, _release_aliases
from app.adapters.postgres.audit import PostgresAudit
from app.adapters.postgres.erasures import LIFT, PostgresErasures
from app.adapters.postgres.schedule_runs import PostgresScheduleRuns
from app.adapters.receipts import Receipts, verified
from app.domain.ids import canonical_id
from app.domain.releases import PRODUCTION, STAGING, Trial
from app.errors import Conflict, NotFound
from app.settings import Settings
from cluster.backup.copying import store_of
from cluster.backup.manifest import MANIFEST
from cluster.backup.mlflow_files import DATABASE
from cluster.backup.restore import Choice, restore
from cluster.backup.save import check, save
from cluster.stack.engines.mlflow import MlflowEngine
from jobs import erase_learners, ingest_events, stores
from jobs.rebuild_index import rebuild_index
from jobs.releases import make_live, promote, registry
from jobs.tracking import tracked
from jobs.world.export import load_world
from tests import rows
from tests.cluster.saved import COLLECTIONS, House
from tests.engines import running
from tests.serving.tiny import FIRST, SECOND, publish

if TYPE_CHECKING:
    from tests.serving.tiny import Tiny, Trained

FORCE = Choice(force=True)


def quiet(*_: object) -> None:
    """Hears of progress."""


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowEngine]:
    """One of our own, whose database can be destroyed."""
    with running(MlflowEngine, tmp_path_factory.mktemp("mlflow-saved")) as engine:
        assert isinstance(engine, MlflowEngine)
        shutil.copyfile(engine.home / DATABASE, engine.home / "pristine.db")
        yield engine


@pytest.fixture
def house(
    mlflow: MlflowEngine,
    clean_postgres: str,
    clean_redis: str,
    milvus_lite_uri: str,
    tiny: "Tiny",
    releases: "dict[str, Trained]",
    tmp_path: Path,
) -> House:
    """Two releases, one live; learners, events, a schedule that ran; one learner opted out."""
    settings = Settings(
        var_dir=tmp_path / "var",
        postgres_url=clean_postgres,
        redis_url=clean_redis,
        milvus_uri=milvus_lite_uri,
        mlflow_uri=mlflow.address,
    )
    house = House(settings, mlflow.home, mlflow.home / "pristine.db")
    shutil.copyfile(house.pristine, mlflow.home / DATABASE)
    with stores.warehouse(settings) as warehouse, logs.event_log(settings) as log:
        load_world(tiny.world, warehouse=warehouse, log=log, advance=quiet)
    ingest_events.run(ingest_events.Spec(), settings)
    for name in (FIRST, SECOND):
        publish(settings, releases[name])
        with registry(settings) as known:
            make_live(releases[name].manifest, known, settings)
            known.point(STAGING, FIRST)
    history = PostgresScheduleRuns(clean_postgres)
    history.end(history.begin("events"), "succeeded")
    PostgresAudit(clean_postgres).add(actor="somebody", role="admin", action="train", object_="all")
    with tracked(settings, "a job", params={"depth": 3}, tags={}) as track:
        track.metrics({"ndcg": 0.5})
        track.table("notes.json", {"kept": "as an artefact"})
    return house


@pytest.mark.parametrize("where", ["folder", pytest.param("s3", marks=pytest.mark.slow)])
def test_everything_is_as_it_was_after_everything_was_destroyed(
    house: House, where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """On S3, what was a folder's comes back in a bucket, from another one."""
    s3 = request.getfixturevalue("s3_store") if where == "s3" else None
    backup = store_of(s3.replace("?", "/backup?") if s3 else str(tmp_path / "backup"))
    asked, at = [*house.learners(), canonical_id("nobody knows this one")], datetime.now(UTC)
    with registry(house.settings) as known:
        known.put_on_trial(Trial(release_id=FIRST, canary=0.1))
        known.mark_erased([FIRST], "a pseudonym", at="2026-01-01T00:00:00Z")
    before, answers, logged = house.everything(), house.answers(SECOND, asked, at), house.runs()
    made = save(house.source, backup, quiet)

    house.destroy()
    assert not house.objects()
    assert not house.rows("events")
    assert not house.registered().releases
    if s3:  # nothing is in the way: pyarrow's way to delete is more than this endpoint stands
        house = house.moved(s3.replace("?", "/objects?"))
    else:
        house.store.write("learning-events/events/of another life.parquet", b"in the way")
        with pytest.raises(Conflict, match="1 files"):
            restore(house.source, backup, Choice(), quiet)
    restored, notes = restore(house.source, backup, Choice(force=not s3), quiet)

    assert restored == made == check(backup, quiet)
    assert (made.production, made.staging) == (SECOND, FIRST)
    assert house.everything() == before
    assert house.answers(SECOND, asked, at) == answers
    assert {slate.release for slate in answers} == {SECOND}
    assert house.runs() == logged == {"a job": 0.5}
    assert set(MilvusStore(house.settings.need("milvus_uri")).collections()) >= set(COLLECTIONS)
    assert house.registered().aliases[PRODUCTION] == SECOND
    assert any("asked for again" in note for note in notes)
    PostgresScheduleRuns(house.settings.need("postgres_url")).begin("the sequence goes on")
    PostgresAudit(house.settings.need("postgres_url")).add(actor="a", role="admin", action="b", object_="c")
    assert len(PostgresAudit(house.settings.need("postgres_url")).entries()) == 2


@pytest.mark.slow
def test_no_key_is_in_a_backup_and_without_them_nothing_is_touched(house: House, tmp_path: Path) -> None:
    settings, path = house.settings, house.settings.pseudonym_keys_path
    add_key(path)
    Receipts(settings)  # made where there is none
    secrets = [*path.read_text().split(), settings.receipt_key_path.read_text().splitlines()[1]]
    made = save(house.source, store_of(str(tmp_path / "backup")), quiet)
    assert len(secrets) == 3
    assert made.pseudonym_keys == tuple(key.name for key in load_keyring(settings).keys)
    for file in (tmp_path / "backup").rglob("*"):
        assert not file.is_file() or not [one for one in secrets if one.encode() in file.read_bytes()]
    kept = path.read_text()
    house.destroy()
    path.write_text("another key that is long enough for one\n")

    with pytest.raises(Conflict, match="lack"):
        restore(house.source, store_of(str(tmp_path / "backup")), Choice(), quiet)
    assert not house.objects()
    _, notes = restore(house.source, store_of(str(tmp_path / "backup")), Choice(without_keys=True), quiet)
    assert any("stranger" in note for note in notes)
    path.write_text(kept)
    _, notes = restore(house.source, store_of(str(tmp_path / "backup")), FORCE, quiet)
    assert not any("keys in use" in note for note in notes)


@pytest.mark.slow
def test_whoever_was_erased_or_opted_out_since_stays_so(house: House, tmp_path: Path) -> None:
    url, settings = house.settings.need("postgres_url"), house.settings
    gone, back, half, out, other = house.learners()
    erasures, ring = PostgresErasures(url), load_keyring(settings)
    erasures.request(half, ring)  # under way while the backup is made
    backup = store_of(str(tmp_path / "backup"))
    save(house.source, backup, quiet)
    others = [line for line in house.rows("events") if other in line]
    for learner in (gone, back):
        erasures.request(learner, ring)
    erase_learners.run(erase_learners.Spec(), settings)
    house.execute(LIFT, [ring.current.of(back)])
    with stores.warehouse(settings) as warehouse:
        content = warehouse.read("contents")["content_id"][0].as_py()
    came = rows.events(["x"], ["y"], start=datetime.now(UTC) + timedelta(seconds=1))
    with logs.event_log(settings) as log:
        for name, value in (("user_id", back), ("content_id", content)):
            came = came.set_column(came.schema.get_field_index(name), came.schema.field(name), [[value]])
        log.append(came)
    house.execute("UPDATE users SET opted_out_at = now() WHERE user_id = %s", out)
    PostgresAudit(url).add(actor="somebody", role="admin", action="after", object_="the backup")

    restore(house.source, backup, FORCE, quiet)
    _, notes = restore(house.source, backup, FORCE, quiet)  # again changes nothing

    assert [line for line in house.rows("events") if other in line] == others != []
    for learner in (gone, half):
        name = ring.current.of(learner)
        assert not [
            line for table in ("users", "events", "completions") for line in house.rows(table) if learner in line
        ]
        assert not erase_learners.personal_files.remaining(house.store, {learner: {name}})[learner]["parquet.events"]
        found = erasures.find(learner, ring)
        assert found is not None
        assert verified(found.receipt or "", Receipts(settings).public_pem)["remaining"]["postgresql.events"] == 0
    assert [came["event_id"][0].as_py() in line for line in house.rows("events") if back in line] == [True]
    assert [line for line in house.rows("users") if out in line and not line.endswith(",)")]
    assert [entry.action for entry in PostgresAudit(url).entries()] == ["train", "after"]
    assert any("erased again" in note for note in notes)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["PostgreSQL", "objects", "MLflow", "index first"])
def test_a_restore_that_is_cut_off_is_run_again(house: House, at: str, tmp_path: Path) -> None:
    backup, before = store_of(str(tmp_path / "backup")), house.everything()
    save(house.source, backup, quiet)
    save(house.source, store_of(str(tmp_path / "another")), quiet)
    house.destroy()
    empty = house.rows("users")

    def cut(part: str, done: int, total: int) -> None:  # as Tell is
        if part == at and (done or total == 0):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(house.source, backup, Choice(), cut)
    assert (house.rows("users") == empty) == (at == "PostgreSQL"), "its transaction is one"
    if at != "PostgreSQL":
        with pytest.raises(Conflict, match="there is something"):
            restore(house.source, store_of(str(tmp_path / "another")), Choice(), quiet)
    restore(house.source, backup, Choice(), quiet)

    assert house.everything() == before
    with pytest.raises(Conflict, match="there is something"):
        restore(house.source, backup, Choice(), quiet)  # it has ended: once more is another one


@pytest.mark.slow
def test_nothing_is_touched_where_something_is_wrong_or_in_the_way(house: House, tmp_path: Path) -> None:
    backup, before = store_of(str(tmp_path / "backup")), house.everything()
    save(house.source, backup, quiet)
    with pytest.raises(Conflict, match=r"PostgreSQL has users.*object store has .* files; MLflow has 2 releases"):
        restore(house.source, backup, Choice(), quiet)
    assert house.everything() == before

    next((tmp_path / "backup").rglob("*.parquet")).unlink()
    with pytest.raises(Conflict, match="is missing"):
        restore(house.source, backup, FORCE, quiet)
    assert house.everything() == before


@pytest.mark.slow
def test_half_a_backup_is_none_and_is_made_again(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "backup"

    def cut(part: str, done: int, total: int) -> None:  # as Tell is
        if part == "objects" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(house.source, store_of(str(folder)), cut)
    with pytest.raises(NotFound, match="holds no backup"):
        check(store_of(str(folder)), quiet)
    (folder / "objects" / "of the first attempt").write_text("and of no manifest")
    made = save(house.source, store_of(str(folder)), quiet)
    check(store_of(str(folder)), quiet)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        *made.files,
        MANIFEST,
    }

    with pytest.raises(Conflict, match="a backup already"):
        save(house.source, store_of(str(folder)), quiet)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.txt").write_text("mine")
    with pytest.raises(Conflict, match=r"thesis\.txt"):
        save(house.source, store_of(str(tmp_path / "theirs")), quiet)


@pytest.mark.slow
def test_events_that_wait_in_the_log_are_counted_and_come_back_with_it(house: House, tmp_path: Path) -> None:
    with stores.warehouse(house.settings) as warehouse:
        content = warehouse.read("contents")["content_id"][0].as_py()
    late = rows.events(["a learner of the last minute"] * 3, ["y"] * 3, start=datetime.now(UTC) - timedelta(hours=1))
    late = late.set_column(2, late.schema.field("content_id"), [[content] * 3])
    with logs.event_log(house.settings) as log:
        log.append(late)

    made = save(house.source, store_of(str(tmp_path / "backup")), quiet)
    assert made.waiting == 3
    restore(house.source, store_of(str(tmp_path / "backup")), Choice(force=True, replay=False), quiet)
    assert not set(late["event_id"].to_pylist()) & {line[1:37] for line in house.rows("events")}
    _, notes = restore(house.source, store_of(str(tmp_path / "backup")), FORCE, quiet)

    assert set(late["event_id"].to_pylist()) <= {line[1:37] for line in house.rows("events")}
    assert any("3 events that were missing" in note for note in notes)


@pytest.mark.slow
def test_milvus_alone_is_made_again_from_the_releases(house: House) -> None:
    milvus = MilvusStore(house.settings.need("milvus_uri"))
    for collection in COLLECTIONS:
        with milvus._client() as client:
            _release_aliases(client, collection)
            client.drop_collection(collection)

    assert {one.collection for one in rebuild_index(house.settings, only_missing=True)} == set(COLLECTIONS)
    assert rebuild_index(house.settings, only_missing=True) == []
    assert promote(house.settings, SECOND).release_id == SECOND
