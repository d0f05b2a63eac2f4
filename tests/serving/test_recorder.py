"""Accepted events are never lost: in the log, or on the disk until it is back; and the features know them all."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry
from redis import Redis

from app.adapters.event_log import EventLog
from app.adapters.kafka_client import KafkaAccess
from app.adapters.kafka_log import KafkaLog
from app.adapters.kafka_topics import ensure_topics
from app.adapters.logs import STREAM
from app.adapters.redis_features import RedisFeatures
from app.adapters.redis_log import RedisLog
from app.adapters.spool import Spool
from app.errors import Unavailable
from app.serving.metrics import EventMetrics
from app.serving.recorder import LOG_S, Recorder
from app.settings import Settings, child_environment
from cluster.stack.engine import Engine
from cluster.stack.engines.kafka import KafkaEngine
from cluster.stack.engines.redis import RedisEngine
from cluster.stack.ports import free_ports
from cluster.stack.running import alone
from tests import rows
from tests.serving.waiting import until

MIB = 2**20


@dataclass
class Place:
    """A log that can be stopped and started, and where the tests look for what arrived."""

    engine: Engine
    folder: Path
    opened: Callable[[], AbstractContextManager[RedisLog | KafkaLog]]

    def running(self) -> AbstractContextManager[None]:
        environment = child_environment(Settings(var_dir=self.folder))
        return alone(self.engine, stack=str(self.folder), environment=environment, log=self.folder / "engine.log")

    def arrived(self) -> Counter[str]:
        with self.opened() as entries:
            batches = EventLog(entries).replay(since=datetime.now(UTC) - timedelta(hours=1), limit=1000)
            return Counter(i for batch in batches for i in batch.events.column("event_id").to_pylist())


@pytest.fixture(params=["redis", pytest.param("kafka", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    port = free_ports(1)[0]
    if request.param == "redis":
        engine = RedisEngine(home=tmp_path / "engine", port=port)
        return Place(engine, tmp_path, lambda: RedisLog(engine.address, STREAM, timeout_s=LOG_S))
    broker = KafkaEngine(home=tmp_path / "engine", port=port)
    access = KafkaAccess(broker.address)
    return Place(broker, tmp_path, lambda: KafkaLog(access, "user-events", timeout_s=LOG_S))


@pytest.fixture
def up(place: Place) -> Iterator[ExitStack]:
    """Closing it stops the log."""
    with ExitStack() as running:
        running.enter_context(place.running())
        if isinstance(place.engine, KafkaEngine):
            ensure_topics(Settings(kafka_servers=place.engine.address, kafka_partitions=2))
        yield running


@asynccontextmanager
async def recording(place: Place, redis_url: str, *, max_bytes: int = 16 * MIB) -> AsyncIterator[Recorder]:
    with place.opened() as entries:
        async with RedisFeatures(redis_url, timeout_s=0.5) as features:
            spool = Spool(place.folder / "spool.db", max_bytes=max_bytes)
            recorder = Recorder(entries, features, spool, metrics=EventMetrics(CollectorRegistry()))
            tending = asyncio.create_task(recorder.tend())
            try:
                yield recorder
            finally:
                tending.cancel()
                recorder.close()


def events(*contents: str, user: str = "ada") -> pa.Table:
    return rows.events([user] * len(contents), list(contents), start=datetime.now(UTC) - timedelta(seconds=60))


def ids(*tables: pa.Table) -> Counter[str]:
    return Counter(i for table in tables for i in table.column("event_id").to_pylist())


async def recent(redis_url: str, user: str = "ada") -> set[str]:
    async with RedisFeatures(redis_url) as features:
        found = await features.learners(rows.ids([user]), release="r", dim=1)
    return set(found.contents[0])


async def soon(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(until, condition, seconds=20, every_s=0.05)


async def test_what_comes_while_the_log_is_away_is_kept_and_gets_there(
    place: Place, up: ExitStack, clean_redis: str
) -> None:
    before, during, after = events("a"), [events(f"b{i}") for i in range(20)], events("c")
    async with recording(place, clean_redis) as recorder:
        assert await recorder.record(before) == ()
        up.close()

        degraded = [await recorder.record(each) for each in during]
        assert set(degraded) == {("event_log",)}
        assert await recent(clean_redis) == set(rows.ids(["a", *(f"b{i}" for i in range(20))]))

        with place.running():
            await soon(lambda: ids(*during) <= place.arrived())
            assert await recorder.record(after) == ()
            assert place.arrived().keys() == ids(before, *during, after).keys()


async def test_a_spool_outlives_its_process(place: Place, up: ExitStack, clean_redis: str) -> None:
    up.close()
    kept = events("a", "b")
    async with recording(place, clean_redis) as recorder:
        assert await recorder.record(kept) == ("event_log",)

    with place.running():
        if isinstance(place.engine, KafkaEngine):
            ensure_topics(Settings(kafka_servers=place.engine.address, kafka_partitions=2))
        async with recording(place, clean_redis):
            await soon(lambda: place.arrived().keys() == ids(kept).keys())


async def test_where_nothing_takes_them_they_are_refused(place: Place, up: ExitStack, clean_redis: str) -> None:
    up.close()
    accepted: list[pa.Table] = []
    async with recording(place, clean_redis, max_bytes=64 * 1024) as recorder:

        async def fill() -> None:
            for number in range(100):
                sent = events(*(f"{number}-{i}" for i in range(50)))
                await recorder.record(sent)
                accepted.append(sent)

        with pytest.raises(Unavailable, match="full"):
            await fill()
        assert accepted
        with place.running():
            await soon(lambda: place.arrived().keys() == ids(*accepted).keys())


async def test_features_that_were_flushed_are_made_again_from_the_log(
    place: Place, up: ExitStack, clean_redis: str
) -> None:
    async with recording(place, clean_redis) as recorder:
        await recorder.record(events("a", "b", "c"))
        await recorder.record(events("d", user="ben"))
        with Redis.from_url(clean_redis) as client:
            await soon(lambda: client.get("learnrec:features") == b"settled")
            client.flushall()
            await soon(lambda: client.get("learnrec:features") == b"settled")

        assert await recent(clean_redis) == set(rows.ids(["a", "b", "c"]))
        assert await recent(clean_redis, "ben") == set(rows.ids(["d"]))


async def test_features_that_were_away_are_brought_what_they_missed(
    place: Place, up: ExitStack, tmp_path: Path
) -> None:
    features = RedisEngine(home=tmp_path / "features", port=free_ports(1)[0])
    other = Place(features, tmp_path / "beside", place.opened)
    other.folder.mkdir()
    with ExitStack() as features_up:
        features_up.enter_context(other.running())
        async with recording(place, features.address) as recorder:
            assert await recorder.record(events("a")) == ()
            features_up.close()
            assert await recorder.record(events("b")) == ("redis",)
            with other.running():
                expected = set(rows.ids(["a", "b"]))
                await soon(lambda: asyncio.run(recent(features.address)) == expected)
