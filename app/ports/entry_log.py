"""The event log: every accepted event, in order of arrival, for seven days."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Consecutive entries of the log."""

    events: pa.Table  # EVENT_SCHEMA, in log order
    positions: tuple[str, ...]  # one per event, in the log's own words, increasing
    last_position: str | None  # commit this when done (beyond `positions` where bad entries were set aside)
    bad: tuple[tuple[str, str], ...] = ()  # (position, reason) of entries that cannot be read as events


class EventLog(Protocol):
    """Append and read in bulk. Every method raises Unavailable where the log does not answer."""

    def append(self, events: pa.Table) -> None:
        """Add events of EVENT_SCHEMA; durable when it returns."""
        ...

    def read(self, *, group: str, limit: int) -> LogBatch:
        """Up to `limit` entries after the group's committed position; reading does not move it."""
        ...

    def commit(self, *, group: str, position: str) -> None:
        """The group has done everything up to and with `position`."""
        ...

    def replay(self, *, since: datetime, limit: int) -> Iterator[LogBatch]:
        """All entries that arrived at or after `since`, in batches of up to `limit`."""
        ...

    def lag(self, *, group: str) -> int:
        """Number of entries after the group's committed position."""
        ...
