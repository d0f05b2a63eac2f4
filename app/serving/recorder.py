"""What becomes of events that are sent in: the log, or the spool until the log answers; then the online features.

An event is accepted when it is on a disk: in the log, or in this machine's spool. Only where neither takes it, it is
refused, and its sender told to come back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import pyarrow as pa
from opentelemetry.trace import Span, SpanKind

from app.adapters.event_codec import encode_events
from app.adapters.event_log import EventLog
from app.adapters.redis_features import RECENT_TTL_S
from app.adapters.spool import Spool
from app.adapters.tracing import OFF, Tracing, traceparent_of
from app.errors import Unavailable
from app.policy.breaker import Breaker
from app.ports.entry_log import EntryLog
from app.ports.online_features import LiveFeatures
from app.serving.coalescer import Coalescer, Gathering
from app.serving.metrics import EventMetrics

LOG_S, COOL_DOWN_S = 2.0, 1.0
"""The time that the log has for a batch; after that its events are spooled, and it is not asked for a while."""

TOGETHER = Gathering(max_batch=64, max_in_flight=2, wait_s=0.002)
APPENDERS = 4
REDIS = {"db.system.name": "redis"}
TEND_EVERY_S = 0.5
DRAIN_BATCH, REBUILD_BATCH = 5_000, 10_000
RECENT = timedelta(seconds=RECENT_TTL_S)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """Events of one request, EVENT_SCHEMA."""

    events: pa.Table
    at: datetime
    span: Span | None = None


class Recorder:
    """`tend` runs beside the requests: it drains the spool, and brings what the features missed from the log."""

    def __init__(
        self,
        entries: EntryLog,
        features: LiveFeatures,
        spool: Spool,
        *,
        metrics: EventMetrics,
        tracing: Tracing = OFF,
        wanted: Callable[[pa.Table], pa.Table] = lambda events: events,
    ) -> None:
        """`wanted` leaves out those of the log's events that the features are not to know."""
        self._tracing = tracing
        self._entries, self._log, self._wanted = entries, EventLog(entries), wanted
        self._features, self._spool, self._metrics = features, spool, metrics
        self._breaker, self._features_breaker = Breaker(COOL_DOWN_S), Breaker(COOL_DOWN_S)
        self._together = Coalescer(self._record, TOGETHER)
        self._missed_since: datetime | None = None  # the features lack events that came from then on
        self._appenders = ThreadPoolExecutor(APPENDERS, "append")  # of its own: a log that hangs holds them

    async def record(self, events: pa.Table, span: Span | None = None) -> tuple[str, ...]:
        """Accept events of EVENT_SCHEMA; returns what did not work: event_log (they are spooled), redis.

        Raises Unavailable: neither the log nor the spool takes them.
        """
        return await self._together.ask(Sent(events, datetime.now(UTC), span))

    def close(self) -> None:
        self._appenders.shutdown(wait=False)
        self._spool.close()

    async def tend(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._drain()
                await self._catch_up()
                self._metrics.waiting(await asyncio.to_thread(len, self._spool))
            except Unavailable as exc:
                _LOG.info("events wait: %s", exc)
            except Exception:  # noqa: BLE001  # the others must not lose it
                _LOG.exception("tending the events failed")
            await asyncio.sleep(TEND_EVERY_S)

    async def _record(self, sent: Sequence[Sent]) -> list[tuple[str, ...]]:
        with self._tracing.batch("record events", [each.span for each in sent]) as span:
            return await self._recorded(sent, traces=_traces(sent) if span else ())

    async def _recorded(self, sent: Sequence[Sent], *, traces: Sequence[str | None]) -> list[tuple[str, ...]]:
        events = pa.concat_tables(each.events for each in sent)
        with self._tracing.child("event log", kind=SpanKind.PRODUCER, attributes={"messaging.operation.name": "send"}):
            degraded = await self._keep(events, traces)
        self._metrics.accepted(events["event_type"].to_pylist())
        if await self._remember(events):
            for each in sent:
                self._metrics.in_features((datetime.now(UTC) - each.at).total_seconds())
        else:
            began = min(each.at for each in sent)
            self._missed_since = min(self._missed_since or began, began)
            degraded = (*degraded, "redis")
        return [degraded] * len(sent)

    async def _remember(self, events: pa.Table) -> bool:
        """Whether the features know of them now."""
        if not self._features_breaker.allows(time.monotonic()):
            return False
        try:
            with self._tracing.child("redis", kind=SpanKind.CLIENT, attributes=REDIS):
                await self._features.record(events)
        except Unavailable as exc:
            self._features_breaker.failed(time.monotonic())
            _LOG.warning("events are kept, but not among the recent ones yet: %s", exc)
            return False
        self._features_breaker.succeeded()
        return True

    async def _keep(self, events: pa.Table, traces: Sequence[str | None]) -> tuple[str, ...]:
        """In the log, or in the spool. Raises Unavailable: in neither."""
        values, keys = encode_events(events), events["user_id"].to_pylist()
        if self._breaker.allows(time.monotonic()):
            try:
                async with asyncio.timeout(LOG_S):
                    await self._append(values, keys, traces)
                self._breaker.succeeded()
                return ()
            except (Unavailable, TimeoutError) as exc:
                self._breaker.failed(time.monotonic())
                _LOG.warning("the log does not take events, they are spooled: %s", exc or "no answer in time")
        await asyncio.to_thread(self._spool.put, values, keys=keys)
        self._metrics.spooled(len(events))
        return ("event_log",)

    async def _append(self, values: Sequence[bytes], keys: Sequence[str], traces: Sequence[str | None] = ()) -> None:
        append = partial(self._entries.append, values, keys=keys, traces=traces)
        await asyncio.get_running_loop().run_in_executor(self._appenders, append)

    async def _drain(self) -> None:
        """From the spool into the log, oldest first. Raises Unavailable."""
        while (oldest := await asyncio.to_thread(self._spool.oldest, DRAIN_BATCH)) is not None:
            if not self._breaker.allows(time.monotonic()):
                return
            try:
                await self._append(oldest.values, oldest.keys)
            except Unavailable:
                self._breaker.failed(time.monotonic())
                raise
            self._breaker.succeeded()
            await asyncio.to_thread(self._spool.drop, oldest.last)
            _LOG.info("%d events went from the spool into the log", len(oldest.values))

    async def _catch_up(self) -> None:
        """What the features missed: events that came while they were away, or all of the last hour where they are new.

        Raises Unavailable.
        """
        now = datetime.now(UTC)
        since = self._missed_since
        if await self._features.begin():
            since = now - RECENT
        if since is None:
            return
        self._missed_since = None
        try:
            replay = self._log.replay(since=max(since, now - RECENT), limit=REBUILD_BATCH)
            while (batch := await asyncio.to_thread(partial(next, replay, None))) is not None:
                await self._features.record(self._wanted(batch.events))
            await self._features.settle()
        except Unavailable:
            self._missed_since = min(since, self._missed_since or since)
            raise


def _traces(sent: Sequence[Sent]) -> list[str | None]:
    """Of each event, the traceparent of the request that brought it."""
    return [one for each in sent for one in [traceparent_of(each.span)] * len(each.events)]
