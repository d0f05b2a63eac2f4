"""Whoever asks to be erased is in no store afterwards, whatever happens meanwhile, and holds a receipt that says so."""

import asyncio
import random
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from pydantic import SecretStr
from redis import Redis

from app.adapters.keyring import add_key, load_keyring
from app.adapters.parquet import read_tables, write_tables
from app.adapters.postgres.audit import PostgresAudit
from app.adapters.postgres.erasures import LIFT, PostgresErasures
from app.adapters.receipts import Receipts, verified
from app.adapters.redis_features import RedisFeatures
from app.adapters.release_files import RELEASES
from app.domain.ids import canonical_id
from app.errors import Conflict, InvalidInput
from app.settings import child_environment
from jobs import build_features, erase_learners, ingest_events, personal_files, replay_events, rotate_pseudonyms
from jobs.artefacts import FEATURES, RECOMMENDATIONS
from jobs.bulk import LISTS
from jobs.event_files import EVENTS
from jobs.snapshots import Snapshot
from tests import rows
from tests.cluster.ingesting import CONTENTS, SECRET, Stack, many, stack_with

GONE, STAYS = canonical_id("user 3"), canonical_id("user 4")
JOB = [sys.executable, "-m", "jobs", "erase_learners"]


@pytest.fixture
def stack(request: pytest.FixtureRequest, clean_postgres: str, mlflow_uri: str, tmp_path: Path) -> Stack:
    """Events of thirty learners are in PostgreSQL, Parquet and Redis; lists were made for them."""
    stack = stack_with("redis", request, clean_postgres, tmp_path)
    stack.settings = stack.settings.model_copy(update={"mlflow_uri": mlflow_uri})
    stack.append(many(600, seed=5))
    ingest_events.run(ingest_events.Spec(), stack.settings)
    remember(stack, many(600, seed=5))
    made = {"user_id": [name(stack, GONE), GONE, name(stack, STAYS)], "content_id": rows.ids(CONTENTS[:3])}
    lists = pa.table({**made, "position": [1] * 3, "score": [0.5] * 3, "source": ["new"] * 3, "release": ["r"] * 3})
    write_tables(stack.store, {f"{RECOMMENDATIONS.folder('run')}/part-0.parquet": lists.cast(LISTS)})
    return stack


def name(stack: Stack, user_id: str) -> str:
    return load_keyring(stack.settings).current.of(user_id)


def remember(stack: Stack, events: pa.Table) -> None:
    async def record() -> None:
        async with RedisFeatures(stack.settings.need("redis_url")) as features:
            await features.record(events)

    asyncio.run(record())


def erasures(stack: Stack) -> PostgresErasures:
    return PostgresErasures(stack.postgres_url)


def ask(stack: Stack, user_id: str = GONE) -> None:
    erasures(stack).request(user_id, load_keyring(stack.settings))


def places(stack: Stack, user_id: str) -> dict[str, int]:
    """Where the learner stands, looked for in our own way: by every name, in the bytes of what each store holds."""
    names = {user_id, name(stack, user_id)}
    with psycopg.connect(stack.postgres_url) as connection:
        tables = ("users", "events", "completions")
        found = {
            table: sum(user_id in line for (line,) in connection.execute(f"SELECT t::text FROM {table} AS t".encode()))
            for table in tables
        }
    with Redis.from_url(stack.settings.need("redis_url")) as client:
        found["redis"] = sum(user_id in key.decode() for key in client.scan_iter("user:*"))
    for folder in ("learning-events/events", "learning-models/recommendations", "learning-features"):
        files = [f"{folder}/{file}" for file in stack.store.files(folder) if file.endswith(".parquet")]
        found[folder] = sum(
            any(n in str(read_tables(stack.store, [file]).to_pylist()) for n in names) for file in files
        )
    return found


def test_nothing_is_left_of_the_erased_and_all_of_the_others(stack: Stack) -> None:
    before, others = places(stack, GONE), places(stack, STAYS)
    assert all(before[place] for place in before if place not in ("completions", "learning-features")), before
    ask(stack)

    done = erase_learners.run(erase_learners.Spec(), stack.settings).metrics

    assert not any(places(stack, GONE).values())
    assert places(stack, STAYS) == others
    assert stack.in_parquet() == stack.in_postgres()
    found = erasures(stack).find(GONE, load_keyring(stack.settings))
    assert found is not None
    facts = verified(found.receipt or "", Receipts(stack.settings).public_pem)
    assert facts["learner"] == name(stack, GONE)
    assert set(facts["remaining"].values()) == {0}
    assert facts["removed"]["postgresql.events"] == facts["removed"]["parquet.events"] == facts["withheld"]["event_log"]
    assert facts["removed"]["parquet.recommendations"] == 2
    assert done["learners"] == 1
    assert GONE not in str(facts), "a receipt may be shown to anyone"


def test_what_comes_late_or_again_is_dropped_and_counted(stack: Stack) -> None:
    ask(stack)
    erase_learners.run(erase_learners.Spec(), stack.settings)
    stack.append(rows.events(["user 3", "user 4"], CONTENTS[:2], start=datetime.now(UTC) - timedelta(minutes=1)))

    taken = ingest_events.run(ingest_events.Spec(), stack.settings).metrics
    replay_events.run(replay_events.Spec(), stack.settings)

    assert (taken["events_of_erased"], taken["events_stored"]) == (1, 1)
    assert not any(places(stack, GONE).values())
    assert erase_learners.run(erase_learners.Spec(), stack.settings).metrics == {"learners": 0}, "nobody waited"


def test_whoever_comes_back_begins_anew(stack: Stack) -> None:
    ask(stack)
    erase_learners.run(erase_learners.Spec(), stack.settings)
    with psycopg.connect(stack.postgres_url, autocommit=True) as connection:
        connection.execute(LIFT, [[name(stack, GONE)]])
    stack.append(rows.events(["user 3"], CONTENTS[:1], start=datetime.now(UTC) + timedelta(seconds=1)))
    ingest_events.run(ingest_events.Spec(), stack.settings)
    replay_events.run(replay_events.Spec(), stack.settings)
    assert places(stack, GONE)["events"] == 1, "what was before the erasure stays away, also from the log"

    ask(stack)
    erase_learners.run(erase_learners.Spec(), stack.settings)
    assert not any(places(stack, GONE).values())


def test_killed_at_any_moment_it_is_gone_on_with(stack: Stack) -> None:
    rng = random.Random(3)
    for number in range(30):
        ask(stack, canonical_id(f"user {number}"))
    for _ in range(3):
        process = subprocess.Popen(
            JOB, env=child_environment(stack.settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        before = len(erasures(stack).unfinished()), sum(stack.in_postgres().values())
        while process.poll() is None and time.monotonic() < deadline:
            if (len(erasures(stack).unfinished()), sum(stack.in_postgres().values())) != before:
                break
        time.sleep(rng.random() * 0.2)  # the moment is the point
        process.kill()
        process.wait()

    erase_learners.run(erase_learners.Spec(), stack.settings)

    assert erasures(stack).unfinished() == {}
    assert not stack.in_postgres()
    assert not stack.in_parquet()
    public = Receipts(stack.settings).public_pem
    removed = [
        verified(found.receipt or "", public)["removed"]["postgresql.events"]
        for number in range(30)
        if (found := erasures(stack).find(canonical_id(f"user {number}"), load_keyring(stack.settings)))
    ]
    assert sum(removed) == 600, "a receipt counts what went before a kill, too"


def test_features_and_releases(stack: Stack, ray_cluster: str) -> None:
    """Features forget the learner; releases, which never change, are named in the receipt."""
    settings = stack.settings.model_copy(update={"ray_address": ray_cluster})
    with psycopg.connect(stack.postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE users SET cohort_tag = 'c'")
    run = build_features.run(build_features.Spec(), settings).output
    folder = FEATURES.folder(run)
    vocabulary = stack.store.read(f"{folder}/{personal_files.VOCABULARY}")
    stack.store.write(f"{RELEASES}/first/{personal_files.VOCABULARY}", vocabulary)
    snapshot = Snapshot(stack.store.uri_root, folder)
    examples, index = len(snapshot.examples()), snapshot.vocabulary().index_of([name(stack, GONE)])[0]
    assert index > 0
    ask(stack)

    erase_learners.run(erase_learners.Spec(), settings)

    found = erasures(stack).find(GONE, load_keyring(settings))
    assert found is not None
    facts = verified(found.receipt or "", Receipts(settings).public_pem)
    assert (facts["releases"], facts["removed"]["parquet.features"]) == (["first"], 1)
    assert not any(places(stack, GONE).values())
    assert snapshot.vocabulary().index_of([name(stack, GONE)]).tolist() == [0]
    assert index not in snapshot.events().user
    assert len(snapshot.examples()) < examples
    anew = build_features.run(build_features.Spec(), settings)
    assert not anew.reused
    assert name(stack, GONE) not in Snapshot(stack.store.uri_root, FEATURES.folder(anew.output)).vocabulary().user_ids


def test_a_new_key_renames_all_and_the_erased_stay_erased(stack: Stack) -> None:
    ask(stack)
    erase_learners.run(erase_learners.Spec(), stack.settings)
    path = stack.settings.pseudonym_keys_path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SECRET)
    add_key(path)
    stack.settings = stack.settings.model_copy(update={"pseudonym_keys": None})
    new, old = load_keyring(stack.settings).keys

    rotate_pseudonyms.run(rotate_pseudonyms.Spec(), stack.settings)
    again = rotate_pseudonyms.run(rotate_pseudonyms.Spec(), stack.settings).metrics
    stack.append(rows.events(["user 3"], CONTENTS[:1]))
    ingest_events.run(ingest_events.Spec(), stack.settings)

    names = set(read_tables(stack.store, [f"{EVENTS}/{f}" for f in stack.store.files(EVENTS)])["user_id"].to_pylist())
    assert new.of(STAYS) in names
    assert old.of(STAYS) not in names
    assert (again["event_files"], again["recommendation_files"]) == (0, 0)
    assert not any(places(stack, GONE).values())


def test_a_receipt_that_was_changed_is_refused(stack: Stack) -> None:
    receipts = Receipts(stack.settings)
    good = receipts.sign({"learner": "x"})
    head, body, seal = good.split(".")
    for bad in (f"{head}.{body[:-2]}AA.{seal}", f"{head}.{body}.{seal[:-4]}AAAA", "nothing", ""):
        with pytest.raises(Conflict):
            verified(bad, receipts.public_pem)
    assert verified(good, receipts.public_pem)["learner"] == "x"


def test_the_audit_log_only_grows_and_tells_of_changes(clean_postgres: str) -> None:
    audit = PostgresAudit(clean_postgres)
    for action in ("export", "erase", "start"):
        audit.add(actor="a", role="admin", action=action, object_="o")
    assert [entry.action for entry in audit.entries()] == ["export", "erase", "start"]
    with psycopg.connect(clean_postgres, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="only grows"):
            connection.execute("DELETE FROM audit")
        connection.execute("ALTER TABLE audit DISABLE TRIGGER audit_only_grows")  # as the database's owner could
        connection.execute("UPDATE audit SET actor = 'somebody else' WHERE seq = 2")
    with pytest.raises(Conflict, match="entry 2"):
        audit.entries()


def test_shared_stores_need_a_key_for_receipts_that_is_given(stack: Stack) -> None:
    for wrong in (None, SecretStr("no key"), SecretStr("")):
        with pytest.raises(InvalidInput, match="openssl genpkey"):
            Receipts(stack.settings.model_copy(update={"receipt_key": wrong}))
