"""The event log: every accepted event, as the codec writes it, on whatever log of entries there is."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from app.adapters.event_codec import decode_events, encode_events
from app.ports.entry_log import Entries, EntryLog


@dataclass(frozen=True, slots=True)
class BadEntry:
    """What the log holds and cannot be read as an event."""

    position: str
    reason: str
    value: bytes


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Consecutive entries of one partition of the log."""

    events: pa.Table  # EVENT_SCHEMA, in log order
    positions: tuple[str, ...]  # one per event
    last_position: str | None  # commit this when done (beyond `positions` where bad entries were set aside)
    bad: tuple[BadEntry, ...] = ()
    traces: tuple[str, ...] = ()  # traceparents of those entries that are of a trace

    def __len__(self) -> int:
        return len(self.events) + len(self.bad)


class EventLog:
    """Events in bulk; a learner's are all in one partition. Every method raises Unavailable as `entries` does."""

    def __init__(self, entries: EntryLog) -> None:
        self._entries = entries

    def append(self, events: pa.Table) -> None:
        """Add events of EVENT_SCHEMA; durable when it returns."""
        if len(events):
            self._entries.append(encode_events(events), keys=events.column("user_id").to_pylist())

    def read(self, *, group: str, partition: str, limit: int) -> LogBatch:
        """Up to `limit` entries after the group's committed position; reading does not move it."""
        return _batch(self._entries.read(group=group, partition=partition, limit=limit))

    def commit(self, *, group: str, partition: str, position: str) -> None:
        """The group has done everything up to and with `position`."""
        self._entries.commit(group=group, partition=partition, position=position)

    def replay(self, *, since: datetime, limit: int) -> Iterator[LogBatch]:
        """What arrived from `since` until now, partition after partition, in batches of up to `limit`."""
        return map(_batch, self._entries.replay(since=since, limit=limit))

    def lag(self, *, group: str) -> dict[str, int]:
        """Number of entries after the group's committed position, of every partition."""
        return self._entries.lag(group=group)


def _batch(entries: Entries) -> LogBatch:
    decoded = decode_events(entries.values, now=datetime.now(UTC))
    positions = entries.positions
    every = len(decoded.rows) == len(positions)
    return LogBatch(
        events=decoded.events,
        positions=positions if every else tuple(np.array(positions, object)[list(decoded.rows)]),
        last_position=positions[-1] if positions else None,
        bad=tuple(BadEntry(positions[row], reason, entries.values[row]) for row, reason in decoded.bad),
        traces=entries.traces,
    )
