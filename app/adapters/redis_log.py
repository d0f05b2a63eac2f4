"""The event log on a Redis Stream: one entry an event, in order of arrival.

As durable as the server's `appendfsync` says. Entries older than RETENTION are trimmed when new ones come.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast

import pyarrow as pa
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.adapters.event_codec import decode_events, encode_events
from app.errors import Unavailable
from app.ports.event_log import LogBatch

STREAM = "learnrec:events"
COMMITTED = "learnrec:events:committed"  # hash: group -> position
RETENTION = timedelta(days=7)
_FIELD = b"e"
_PIPELINE_ENTRIES = 2_000
_BEFORE_ALL = "0-0"

# Ids only travel: counting ten thousand entries costs one round trip.
_COUNT_AFTER = """
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
if #entries == 0 then return {0, ARGV[1]} end
return {#entries, entries[#entries][1]}
"""
_COUNT_PAGE = 10_000

_Entries = list[tuple[bytes, dict[bytes, bytes]]]


class RedisEventLog:
    """Implements `app.ports.event_log.EventLog`; a context manager that closes its connections."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),  # heals a connection that went stale; entries sent twice are one event
        )
        self._count_after = self._redis.register_script(_COUNT_AFTER)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._redis.close()

    def append(self, events: pa.Table) -> None:
        entries = encode_events(events)
        with _translated():
            for start in range(0, len(entries), _PIPELINE_ENTRIES):
                pipeline = self._redis.pipeline(transaction=False)
                for entry in entries[start : start + _PIPELINE_ENTRIES]:
                    pipeline.execute_command("XADD", STREAM, "*", _FIELD, entry)
                pipeline.execute()
            oldest = datetime.now(UTC) - RETENTION
            self._redis.xtrim(STREAM, minid=f"{_milliseconds(oldest)}-0", approximate=True)

    def read(self, *, group: str, limit: int) -> LogBatch:
        with _translated():
            return self._batch(self._committed(group), limit)

    def commit(self, *, group: str, position: str) -> None:
        with _translated():
            self._redis.hset(COMMITTED, group, position)

    def replay(self, *, since: datetime, limit: int) -> Iterator[LogBatch]:
        position = f"{_milliseconds(since) - 1}-{2**64 - 1}"
        while True:
            with _translated():
                batch = self._batch(position, limit)
            if batch.last_position is None:
                return
            yield batch
            position = batch.last_position

    def lag(self, *, group: str) -> int:
        with _translated():
            position, total = self._committed(group), 0
            if position == _BEFORE_ALL:
                return cast(int, self._redis.xlen(STREAM))
            while True:
                count, last = cast(tuple[int, bytes], self._count_after(keys=[STREAM], args=[position, _COUNT_PAGE]))
                total += count
                if count < _COUNT_PAGE:
                    return total
                position = last.decode()

    def _committed(self, group: str) -> str:
        position = cast(bytes | None, self._redis.hget(COMMITTED, group))
        return position.decode() if position else _BEFORE_ALL

    def _batch(self, after: str, limit: int) -> LogBatch:
        entries = cast(_Entries, self._redis.xrange(STREAM, min=f"({after}", count=limit))
        return _batch_of(entries)


def _batch_of(entries: _Entries) -> LogBatch:
    positions = [position.decode() for position, _ in entries]
    decoded = decode_events([fields.get(_FIELD, b"") for _, fields in entries], now=datetime.now(UTC))
    return LogBatch(
        events=decoded.events,
        positions=_chosen(positions, decoded.rows),
        last_position=positions[-1] if positions else None,
        bad=tuple((positions[row], reason) for row, reason in decoded.bad),
    )


def _chosen(positions: list[str], rows: Sequence[int]) -> tuple[str, ...]:
    return tuple(positions) if len(rows) == len(positions) else tuple(positions[row] for row in rows)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@contextmanager
def _translated() -> Iterator[Any]:
    try:
        yield
    except redis.RedisError as exc:
        raise Unavailable("event log", f"{type(exc).__name__}: {exc}") from exc
