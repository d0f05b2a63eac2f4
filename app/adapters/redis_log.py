"""A log on a Redis Stream: one partition, one stream entry each, in order of arrival.

As durable as the server's `appendfsync` says. Entries older than the retention are trimmed when new ones come.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.errors import Unavailable
from app.ports.entry_log import Entries

ONLY_PARTITION = "0"
_FIELD, _TRACE = b"e", b"traceparent"
_PIPELINE_ENTRIES = 2_000
_BEFORE_ALL = "0-0"

# Ids only travel: counting ten thousand entries costs one round trip.
_COUNT_AFTER = """
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
if #entries == 0 then return {0, ARGV[1]} end
return {#entries, entries[#entries][1]}
"""
_COUNT_PAGE = 10_000


class RedisLog:
    """Implements `app.ports.entry_log.EntryLog` on `stream`; a context manager that closes its connections.

    Positions of groups are in the hash `{stream}:committed`.
    """

    def __init__(self, url: str, stream: str, *, retention: timedelta | None = None, timeout_s: float = 10.0) -> None:
        self._stream, self._committed_key, self._retention = stream, f"{stream}:committed", retention
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

    def append(
        self,
        values: Sequence[bytes],
        *,
        keys: Sequence[str],  # noqa: ARG002  # one partition holds all
        traces: Sequence[str | None] = (),
    ) -> None:
        entries = [(_FIELD, value) for value in values]
        if traces:
            entries = [
                (*entry, _TRACE, trace) if trace else entry for entry, trace in zip(entries, traces, strict=True)
            ]
        with _translated():
            for start in range(0, len(values), _PIPELINE_ENTRIES):
                pipeline = self._redis.pipeline(transaction=False)
                for entry in entries[start : start + _PIPELINE_ENTRIES]:
                    pipeline.execute_command("XADD", self._stream, "*", *entry)
                pipeline.execute()
            if self._retention is None:
                return
            oldest = datetime.now(UTC) - self._retention
            self._redis.xtrim(self._stream, minid=f"{_milliseconds(oldest)}-0", approximate=True)

    def read(self, *, group: str, partition: str, limit: int) -> Entries:  # noqa: ARG002  # there is one
        with _translated():
            return self._after(self._committed(group), limit)

    def commit(self, *, group: str, partition: str, position: str) -> None:  # noqa: ARG002  # there is one
        with _translated():
            self._redis.hset(self._committed_key, group, position)

    def replay(self, *, since: datetime, limit: int) -> Iterator[Entries]:
        after, until = f"{_milliseconds(since) - 1}-{2**64 - 1}", _milliseconds(datetime.now(UTC))
        while True:
            with _translated():
                entries = self._after(after, limit, until=f"{until}-{2**64 - 1}")
            if not entries.positions:
                return
            yield entries
            after = entries.positions[-1]

    def lag(self, *, group: str) -> dict[str, int]:
        with _translated():
            position, total = self._committed(group), 0
            if position == _BEFORE_ALL:
                return {ONLY_PARTITION: cast(int, self._redis.xlen(self._stream))}
            while True:
                count, last = cast(
                    tuple[int, bytes], self._count_after(keys=[self._stream], args=[position, _COUNT_PAGE])
                )
                total += count
                if count < _COUNT_PAGE:
                    return {ONLY_PARTITION: total}
                position = last.decode()

    def _committed(self, group: str) -> str:
        position = cast(bytes | None, self._redis.hget(self._committed_key, group))
        return position.decode() if position else _BEFORE_ALL

    def _after(self, after: str, limit: int, *, until: str = "+") -> Entries:
        found = cast(
            list[tuple[bytes, dict[bytes, bytes]]],
            self._redis.xrange(self._stream, min=f"({after}", max=until, count=limit),
        )
        return Entries(
            values=tuple(fields.get(_FIELD, b"") for _, fields in found),
            positions=tuple(position.decode() for position, _ in found),
            traces=tuple(fields[_TRACE].decode("latin-1") for _, fields in found if _TRACE in fields),
        )


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


@contextmanager
def _translated() -> Iterator[Any]:
    try:
        yield
    except redis.RedisError as exc:
        raise Unavailable("event log", f"{type(exc).__name__}: {exc}") from exc
