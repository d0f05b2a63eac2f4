"""The log once more into every store: what Parquet, PostgreSQL and Redis lack of it is there afterwards.

Stores that have everything stay as they are; stores that lost something, or all, are as they were. Positions in the
log do not move.
"""

import asyncio
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AwareDatetime, Field

from app.adapters import logs
from app.adapters.keyring import load_keyring
from app.adapters.redis_features import RECENT_TTL_S, RedisFeatures
from app.errors import InvalidInput
from app.ports.entry_log import RETENTION
from app.settings import Settings
from jobs import stores
from jobs.event_files import EVENTS, complete_parquet
from jobs.ingest_events import JOB as INGEST
from jobs.job import JobResult, JobSpec
from jobs.progress import steps

JOB = "replay_events"


class Spec(JobSpec):
    """Which part of the log; times are those of arrival, or of the event for `until`."""

    since: AwareDatetime | Literal["beginning"] = Field(default="beginning", description="what arrived from then on")
    until: AwareDatetime | Literal["end"] = Field(default="end", description="events before then")
    batch_size: int = Field(default=50_000, ge=1, le=1_000_000, description="log entries at a time")


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises Conflict: events are being taken in; InvalidInput; Unavailable: a store does not answer."""
    since = datetime.now(UTC) - RETENTION if spec.since == "beginning" else spec.since
    until = None if spec.until == "end" else spec.until
    if until and until <= since:
        raise InvalidInput(f"nothing can be from {since:%F %T} to {until:%F %T}: give a `since` before `until`")
    key = load_keyring(settings).current
    store, counts = stores.objects(settings), {"entries": 0, "to_postgresql": 0, "to_parquet": 0, "unknown_content": 0}
    with (
        stores.warehouse(settings) as warehouse,
        logs.event_log(settings) as log,
        warehouse.exclusive(INGEST),
        steps(JOB) as advance,
    ):
        for batch in log.replay(since=since, limit=spec.batch_size):
            events = _before(batch.events, until)
            new = warehouse.new_events(events)
            counts["entries"] += len(batch)
            counts["unknown_content"] += len(new.unknown_content)
            counts["to_postgresql"] += warehouse.put_events(new.known)
            stored = warehouse.stored(events)
            counts["to_parquet"] += complete_parquet(store, stored, key)
            asyncio.run(_to_redis(settings, stored))
            advance(counts["entries"], f"{counts['entries']:,} entries")
    return JobResult(JOB, EVENTS, {name: float(count) for name, count in counts.items()})


def _before(events: pa.Table, until: datetime | None) -> pa.Table:
    return events if until is None else events.filter(pa.array(_micros(events) < until.timestamp() * 1e6))


async def _to_redis(settings: Settings, events: pa.Table) -> None:
    recent = (datetime.now(UTC).timestamp() - RECENT_TTL_S) * 1e6
    async with RedisFeatures(settings.need("redis_url"), timeout_s=10) as features:
        await features.record(events.filter(pa.array(_micros(events) >= recent)))


def _micros(events: pa.Table) -> NDArray[np.int64]:
    return events["ts"].cast(pa.int64()).to_numpy()
