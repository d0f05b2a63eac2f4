"""The log brings every store back to the state that it was in."""

import asyncio
import hashlib
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import psycopg
import pyarrow as pa
import pytest
from redis import Redis

from app.adapters.parquet import read_tables
from app.adapters.redis_features import RedisFeatures
from app.errors import InvalidInput
from jobs.event_files import EVENTS
from jobs.ingest_events import Spec as IngestSpec
from jobs.ingest_events import run as ingest
from jobs.replay_events import Spec, run
from tests import rows
from tests.cluster.ingesting import CONTENTS, Stack, many, stack_with

NOW = datetime.now(UTC)
TABLES = ("events", "completions", "users")


@pytest.fixture
def stack(request: pytest.FixtureRequest, clean_postgres: str, clean_redis: str, tmp_path: Path) -> Stack:
    """The log is Kafka's, the features are in Redis, objects in a folder."""
    stack = stack_with("kafka", request, clean_postgres, tmp_path)
    folder = {"redis_url": clean_redis, "object_store": (tmp_path / "objects").as_uri()}
    stack.settings = stack.settings.model_copy(update=folder)
    return stack


def state(stack: Stack) -> dict[str, str]:
    """A hash of all that each store holds."""
    found: dict[str, object] = {}
    with psycopg.connect(stack.postgres_url) as connection:
        for table in TABLES:
            lines = connection.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1".encode()).fetchall()
            found[table] = [line for (line,) in lines]
    names = [f"{EVENTS}/{name}" for name in stack.store.files(EVENTS)]
    stored = read_tables(stack.store, names) if names else pa.table({"event_id": pa.array([], pa.string())})
    found["parquet"] = [str(row) for row in stored.sort_by("event_id").to_pylist()]
    with Redis.from_url(stack.settings.need("redis_url")) as client:
        keys = sorted(key for key in client.scan_iter("user:*"))
        found["redis"] = [[str(key), str(client.zrange(key, 0, -1, withscores=True))] for key in keys]
    return {name: hashlib.sha256(orjson.dumps(value)).hexdigest() for name, value in found.items()}


def lose_everything(stack: Stack) -> None:
    with psycopg.connect(stack.postgres_url) as connection:
        connection.execute("TRUNCATE events, completions, users")
    shutil.rmtree(stack.store.path(EVENTS))
    with Redis.from_url(stack.settings.need("redis_url")) as client:
        client.flushall()


def remember(stack: Stack, events: pa.Table) -> None:
    """As the service does when they come."""

    async def record() -> None:
        async with RedisFeatures(stack.settings.need("redis_url")) as features:
            await features.record(events)

    asyncio.run(record())


def test_stores_that_lost_all_are_as_they_were(stack: Stack) -> None:
    old, lately = many(300), rows.events(["a"] * 5, CONTENTS[:5], start=NOW - timedelta(minutes=5), kind="complete")
    again = lately.set_column(5, "ts", pa.array([NOW - timedelta(minutes=1)] * 5, lately["ts"].type))  # other times
    for events in (old, lately, again, rows.events(["b"], ["unknown"])):
        stack.append(events)
    ingest(IngestSpec(), stack.settings)
    remember(stack, lately)
    before = state(stack)

    lose_everything(stack)
    assert state(stack).items().isdisjoint(before.items())
    done = run(Spec(batch_size=100), stack.settings).metrics

    assert state(stack) == before
    assert (done["entries"], done["to_postgresql"], done["to_parquet"]) == (311, 305, 305)
    assert done["unknown_content"] == 1


def test_stores_that_have_all_stay_as_they_are(stack: Stack) -> None:
    stack.append(many(100))
    ingest(IngestSpec(), stack.settings)
    before = state(stack)

    done = run(Spec(), stack.settings).metrics

    assert state(stack) == before
    assert (done["to_postgresql"], done["to_parquet"]) == (0, 0)


def test_one_store_alone_is_completed(stack: Stack) -> None:
    stack.append(many(100))
    ingest(IngestSpec(), stack.settings)
    before = state(stack)
    shutil.rmtree(stack.store.path(EVENTS))

    assert run(Spec(), stack.settings).metrics["to_parquet"] == 100
    assert state(stack) == before


def test_times_that_hold_nothing_are_refused(stack: Stack) -> None:
    with pytest.raises(InvalidInput, match="nothing can be from"):
        run(Spec(since=NOW, until=NOW - timedelta(days=1)), stack.settings)
