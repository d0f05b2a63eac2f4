"""What every event log does, on a real engine each."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
import redis

from app.adapters.redis_log import RETENTION, STREAM, RedisEventLog
from app.errors import Unavailable
from app.ports.event_log import EventLog
from cluster.stack.ports import free_ports
from tests import rows


@pytest.fixture
def log(clean_redis: str) -> Iterator[RedisEventLog]:
    with RedisEventLog(clean_redis) as log:
        yield log


class TestEventLog:
    """The contract."""

    def test_events_are_read_in_order_and_as_they_were(self, log: EventLog) -> None:
        first, second = rows.events(["a"] * 3, ["x", "y", "z"]), rows.events(["b"] * 2, ["x", "y"], kind="complete")
        log.append(first)
        log.append(second)

        batch = log.read(group="g", limit=10)

        assert batch.events.equals(pa.concat_tables([first, second]))
        assert len(batch.positions) == len(set(batch.positions)) == 5
        assert batch.last_position == batch.positions[-1]

    def test_reading_does_not_move_a_group_and_committing_does(self, log: EventLog) -> None:
        log.append(rows.events(["a"] * 5, list("vwxyz")))
        batch = log.read(group="g", limit=2)

        assert log.read(group="g", limit=2).positions == batch.positions
        assert batch.last_position is not None
        log.commit(group="g", position=batch.last_position)

        rest = log.read(group="g", limit=10)
        assert rest.events.column("content_id").to_pylist() == rows.ids(list("xyz"))
        assert log.read(group="other", limit=10).positions[:2] == batch.positions

    def test_positions_survive_a_new_client(self, log: RedisEventLog, clean_redis: str) -> None:
        log.append(rows.events(["a"] * 3, list("xyz")))
        log.commit(group="g", position=log.read(group="g", limit=2).positions[-1])

        with RedisEventLog(clean_redis) as other:
            assert len(other.read(group="g", limit=10).events) == 1

    def test_the_end_of_the_log_is_an_empty_batch(self, log: EventLog) -> None:
        batch = log.read(group="g", limit=10)

        assert len(batch.events) == 0
        assert batch.last_position is None
        assert batch.bad == ()

    def test_appending_nothing_changes_nothing(self, log: EventLog) -> None:
        log.append(rows.events([], []))

        assert log.lag(group="g") == 0

    def test_lag_counts_what_is_not_committed(self, log: EventLog) -> None:
        log.append(rows.events(["a"] * 12_000, ["x"] * 12_000))
        assert log.lag(group="g") == 12_000

        log.commit(group="g", position=log.read(group="g", limit=1_000).positions[-1])
        assert log.lag(group="g") == 11_000

        log.commit(group="g", position=log.read(group="g", limit=20_000).positions[-1])
        assert log.lag(group="g") == 0

    def test_a_replay_begins_at_a_time_and_reads_on_in_batches(self, log: EventLog) -> None:
        log.append(rows.events(["a"] * 5, list("vwxyz")))

        batches = list(log.replay(since=datetime.now(UTC) - timedelta(minutes=1), limit=2))

        assert [len(batch.events) for batch in batches] == [2, 2, 1]
        assert list(log.replay(since=datetime.now(UTC) + timedelta(minutes=1), limit=2)) == []

    def test_a_server_that_is_away_is_unavailable(self) -> None:
        with RedisEventLog(f"redis://127.0.0.1:{free_ports(1)[0]}/0", timeout_s=1) as log:
            for call in (
                lambda: log.append(rows.events(["a"], ["x"])),
                lambda: log.read(group="g", limit=1),
                lambda: log.commit(group="g", position="1-1"),
                lambda: list(log.replay(since=rows.START, limit=1)),
                lambda: log.lag(group="g"),
            ):
                with pytest.raises(Unavailable, match="event log"):
                    call()


def test_bad_entries_are_set_aside_and_cost_no_other(log: RedisEventLog, clean_redis: str) -> None:
    log.append(rows.events(["a"], ["x"]))
    with redis.Redis.from_url(clean_redis) as client:
        client.xadd(STREAM, {"e": "not json"})
        client.xadd(STREAM, {"other": "field"})
    log.append(rows.events(["b"], ["y"]))

    batch = log.read(group="g", limit=10)

    assert batch.events.column("user_id").to_pylist() == rows.ids(["a", "b"])
    assert [reason for _, reason in batch.bad] == ["no JSON", "no JSON"]
    assert batch.positions[0] < batch.bad[0][0] < batch.bad[1][0] < batch.positions[1]


def test_the_last_position_counts_bad_entries_too(log: RedisEventLog, clean_redis: str) -> None:
    with redis.Redis.from_url(clean_redis) as client:
        client.xadd(STREAM, {"e": "not json"})

    batch = log.read(group="g", limit=10)
    assert batch.last_position == batch.bad[0][0]
    log.commit(group="g", position=batch.bad[0][0])

    assert log.lag(group="g") == 0


def test_entries_older_than_the_retention_go_when_new_ones_come(log: RedisEventLog, clean_redis: str) -> None:
    old = datetime.now(UTC) - RETENTION - timedelta(hours=1)
    with redis.Redis.from_url(clean_redis) as client:
        for i in range(500):  # trimming goes by whole nodes of the stream
            client.xadd(STREAM, {"e": "old"}, id=f"{int(old.timestamp() * 1000)}-{i + 1}")

    log.append(rows.events(["a"] * 3, list("xyz")))

    batch = log.read(group="g", limit=1000)
    assert len(batch.events) == 3
    assert len(batch.bad) < 200
