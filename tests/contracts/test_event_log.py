"""What every event log does, on a real engine each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pyarrow as pa
import pytest
import redis

from app.adapters.event_log import EventLog
from app.adapters.kafka_client import KafkaAccess
from app.adapters.kafka_log import KafkaLog
from app.adapters.kafka_topics import ensure_topics
from app.adapters.logs import STREAM
from app.adapters.redis_log import RedisLog
from app.errors import Unavailable
from app.ports.entry_log import RETENTION
from app.settings import Settings
from cluster.stack.ports import free_ports
from tests import rows

_TOPICS = count()


@dataclass(frozen=True)
class Kind:
    """A kind of log: how to reach the same one once more, and one that nobody serves."""

    opened: Callable[[], KafkaLog | RedisLog]
    away: Callable[[], KafkaLog | RedisLog]


@pytest.fixture(params=["redis", "kafka"])
def kind(request: pytest.FixtureRequest) -> Kind:
    nobody = f"127.0.0.1:{free_ports(1)[0]}"
    if request.param == "redis":
        url: str = request.getfixturevalue("clean_redis")
        return Kind(
            opened=lambda: RedisLog(url, STREAM, retention=RETENTION),
            away=lambda: RedisLog(f"redis://{nobody}/0", STREAM, timeout_s=1),
        )
    servers: str = request.getfixturevalue("kafka_servers")
    topic = f"contract-{next(_TOPICS)}"
    ensure_topics(Settings(kafka_servers=servers, kafka_topic=topic, kafka_partitions=3))
    return Kind(
        opened=lambda: KafkaLog(KafkaAccess(servers), topic),
        away=lambda: KafkaLog(KafkaAccess(nobody), topic, timeout_s=1),
    )


@pytest.fixture
def entries(kind: Kind) -> Iterator[KafkaLog | RedisLog]:
    with kind.opened() as entries:
        yield entries


@pytest.fixture
def log(entries: KafkaLog | RedisLog) -> EventLog:
    return EventLog(entries)


def home_of(log: EventLog) -> str:
    """The partition that holds something."""
    (home,) = [partition for partition, lag in log.lag(group="nobody").items() if lag]
    return home


class TestEventLog:
    """The contract. A learner's events are in one partition: tests of order have one learner."""

    def test_events_are_read_in_order_and_as_they_were(self, log: EventLog) -> None:
        first, second = rows.events(["a"] * 3, ["x", "y", "z"]), rows.events(["a"] * 2, ["x", "y"], kind="complete")
        log.append(first)
        log.append(second)

        batch = log.read(group="g", partition=home_of(log), limit=10)

        assert batch.events.equals(pa.concat_tables([first, second]))
        assert len(batch.positions) == len(set(batch.positions)) == 5
        assert batch.last_position == batch.positions[-1]

    def test_every_learner_has_a_partition_and_all_are_found(self, log: EventLog) -> None:
        events = rows.events([f"learner {i % 50}" for i in range(500)], ["x"] * 500)
        log.append(events)

        lags = log.lag(group="g")
        batches = [log.read(group="g", partition=partition, limit=1000).events for partition in lags]

        assert sum(lags.values()) == 500
        assert [len(batch) for batch in batches] == list(lags.values())
        users = [set(batch.column("user_id").to_pylist()) for batch in batches]
        assert sum(map(len, users)) == 50
        assert pa.concat_tables(batches).sort_by("event_id").equals(events.sort_by("event_id"))

    def test_reading_does_not_move_a_group_and_committing_does(self, log: EventLog) -> None:
        log.append(rows.events(["a"] * 5, list("vwxyz")))
        home = home_of(log)
        batch = log.read(group="g", partition=home, limit=2)

        assert log.read(group="g", partition=home, limit=2).positions == batch.positions
        assert batch.last_position is not None
        log.commit(group="g", partition=home, position=batch.last_position)

        rest = log.read(group="g", partition=home, limit=10)
        assert rest.events.column("content_id").to_pylist() == rows.ids(list("xyz"))
        assert log.read(group="other", partition=home, limit=10).positions[:2] == batch.positions

    def test_positions_survive_a_new_client(self, log: EventLog, kind: Kind) -> None:
        log.append(rows.events(["a"] * 3, list("xyz")))
        home = home_of(log)
        log.commit(group="g", partition=home, position=log.read(group="g", partition=home, limit=2).positions[-1])

        with kind.opened() as other:
            assert len(other.read(group="g", partition=home, limit=10).values) == 1

    def test_the_end_of_the_log_is_an_empty_batch(self, log: EventLog) -> None:
        batch = log.read(group="g", partition="0", limit=10)

        assert len(batch) == len(batch.events) == 0
        assert batch.last_position is None

    def test_appending_nothing_changes_nothing(self, log: EventLog) -> None:
        log.append(rows.events([], []))

        assert set(log.lag(group="g").values()) == {0}

    def test_lag_counts_what_is_not_committed(self, log: EventLog) -> None:
        log.append(rows.events(["a"] * 12_000, ["x"] * 12_000))
        home = home_of(log)
        assert log.lag(group="g")[home] == 12_000

        for limit, left in ((1_000, 11_000), (20_000, 0)):
            position = log.read(group="g", partition=home, limit=limit).positions[-1]
            log.commit(group="g", partition=home, position=position)
            assert log.lag(group="g")[home] == left

    def test_a_replay_begins_at_a_time_and_reads_on_in_batches(self, log: EventLog) -> None:
        log.append(rows.events(["a"] * 5, list("vwxyz")))

        batches = list(log.replay(since=datetime.now(UTC) - timedelta(minutes=1), limit=2))

        assert [len(batch.events) for batch in batches] == [2, 2, 1]
        assert list(log.replay(since=datetime.now(UTC) + timedelta(minutes=1), limit=2)) == []

    def test_a_server_that_is_away_is_unavailable(self, kind: Kind) -> None:
        with kind.away() as entries:
            log = EventLog(entries)
            for call in (
                lambda: log.append(rows.events(["a"], ["x"])),
                lambda: log.read(group="g", partition="0", limit=1),
                lambda: log.commit(group="g", partition="0", position="1-1"),
                lambda: list(log.replay(since=rows.START, limit=1)),
                lambda: log.lag(group="g"),
            ):
                with pytest.raises(Unavailable, match="event log"):
                    call()

    def test_bad_entries_are_set_aside_and_cost_no_other(self, log: EventLog, entries: KafkaLog | RedisLog) -> None:
        good = rows.events(["a", "a"], ["x", "y"])
        key = good.column("user_id")[0].as_py()
        log.append(good.slice(0, 1))
        entries.append([b"not json", b""], keys=[key, key])
        log.append(good.slice(1))

        batch = log.read(group="g", partition=home_of(log), limit=10)

        assert batch.events.equals(good)
        assert [(entry.reason, entry.value) for entry in batch.bad] == [("no JSON", b"not json"), ("no JSON", b"")]
        assert [batch.positions[0], *(entry.position for entry in batch.bad), batch.positions[1]] == sorted(
            [*batch.positions, *(entry.position for entry in batch.bad)]
        )

    def test_the_last_position_counts_bad_entries_too(self, log: EventLog, entries: KafkaLog | RedisLog) -> None:
        entries.append([b"not json"], keys=["k"])
        home = home_of(log)

        batch = log.read(group="g", partition=home, limit=10)
        assert batch.last_position == batch.bad[0].position
        log.commit(group="g", partition=home, position=batch.bad[0].position)

        assert log.lag(group="g")[home] == 0


def test_entries_of_redis_older_than_the_retention_go_when_new_ones_come(clean_redis: str) -> None:
    old = datetime.now(UTC) - RETENTION - timedelta(hours=1)
    with redis.Redis.from_url(clean_redis) as client:
        for i in range(500):  # trimming goes by whole nodes of the stream
            client.xadd(STREAM, {"e": "old"}, id=f"{int(old.timestamp() * 1000)}-{i + 1}")

    with RedisLog(clean_redis, STREAM, retention=RETENTION) as entries:
        EventLog(entries).append(rows.events(["a"] * 3, list("xyz")))

        batch = EventLog(entries).read(group="g", partition="0", limit=1000)
    assert len(batch.events) == 3
    assert len(batch.bad) < 200


def test_a_topic_that_there_is_not_says_how_to_make_it(kafka_servers: str) -> None:
    with KafkaLog(KafkaAccess(kafka_servers), "never-made", timeout_s=2) as entries:
        with pytest.raises(Unavailable, match="events setup"):
            entries.lag(group="g")
        with pytest.raises(Unavailable, match="event log"):
            entries.append([b"x"], keys=["k"])


def test_topics_are_made_once_with_partitions_and_retention(kafka_servers: str) -> None:
    settings = Settings(kafka_servers=kafka_servers, kafka_topic="made-once", kafka_partitions=4)

    assert ensure_topics(settings) == ("made-once", "made-once-dead")
    assert ensure_topics(settings) == ()

    with KafkaLog(KafkaAccess.of(settings), "made-once") as entries:
        assert entries.lag(group="g") == dict.fromkeys("0123", 0)
