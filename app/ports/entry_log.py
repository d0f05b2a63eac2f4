"""A log of entries: bytes under keys, in order of arrival within a partition, for seven days."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

RETENTION = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Entries:
    """Consecutive entries of one partition."""

    values: tuple[bytes, ...]
    positions: tuple[str, ...]  # one per value, in the log's own words
    traces: tuple[str, ...] = ()  # traceparents (W3C) of the few entries that came with one


class EntryLog(Protocol):
    """Append and read in bulk. Every method raises Unavailable where the log does not answer.

    Partitions are numbered as text from "0"; entries under one key are all in one partition. One thread at a time
    may read; any number may append.
    """

    def append(self, values: Sequence[bytes], *, keys: Sequence[str], traces: Sequence[str | None] = ()) -> None:
        """Add entries; durable when it returns. After an error some may be in the log, and some not.

        `traces`: nothing, or for each entry its traceparent, if any.
        """
        ...

    def read(self, *, group: str, partition: str, limit: int) -> Entries:
        """Up to `limit` entries after the group's committed position; reading does not move it."""
        ...

    def commit(self, *, group: str, partition: str, position: str) -> None:
        """The group has done everything up to and with `position`."""
        ...

    def replay(self, *, since: datetime, limit: int) -> Iterator[Entries]:
        """What arrived from `since` until now, partition after partition, in batches of up to `limit`."""
        ...

    def lag(self, *, group: str) -> dict[str, int]:
        """Number of entries after the group's committed position, of every partition."""
        ...
