"""The service's side of events: whose are taken, where they are kept, and what the features learn of them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from opentelemetry.trace import Span

from app.adapters import logs
from app.adapters.keyring import load_keyring
from app.adapters.postgres.opt_outs import PostgresOptOuts
from app.adapters.redis_features import RedisFeatures
from app.adapters.spool import Spool
from app.adapters.tracing import Tracing
from app.errors import Unavailable
from app.serving.metrics import EventMetrics
from app.serving.opt_outs import OptOuts
from app.serving.recorder import LOG_S, Recorder
from app.settings import Settings

LOG_GROUP = "ingest_events"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of events."""

    degraded: tuple[str, ...]  # what did not work
    not_stored: tuple[str, ...]  # event ids of those who opted out


class Intake:
    """Opened by `start`, on the loop that uses it."""

    def __init__(self, settings: Settings, features: RedisFeatures, metrics: EventMetrics, tracing: Tracing) -> None:
        self.opt_outs = OptOuts(PostgresOptOuts(settings.need("postgres_url"), load_keyring(settings)), features)
        self._metrics = metrics
        self._entries = logs.event_entries(settings, timeout_s=LOG_S)
        spool = Spool(settings.spool_path, max_bytes=settings.spool_max_mb * 2**20)
        self._recorder = Recorder(
            self._entries,
            features,
            spool,
            metrics=metrics,
            tracing=tracing,
            wanted=lambda events: self.opt_outs.parted(events)[0],
        )
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        with suppress(Unavailable):
            await self.opt_outs.look()
        self._tasks = (asyncio.create_task(self._recorder.tend()), asyncio.create_task(self.opt_outs.run()))

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._recorder.close()
        self._entries.__exit__(None, None, None)

    @property
    def alive(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    async def ping(self) -> None:
        """Raises Unavailable: the log does not answer."""
        self._metrics.lag(await asyncio.to_thread(self._entries.lag, group=LOG_GROUP))

    async def record(self, events: pa.Table, span: Span | None = None) -> Recorded:
        """Accept events of EVENT_SCHEMA, and let the next recommendation know them.

        Raises Unavailable: they can be kept nowhere.
        """
        wanted, unwanted = self.opt_outs.parted(events)
        self._metrics.of_opted_out(len(unwanted))
        degraded = await self._recorder.record(wanted, span) if len(wanted) else ()
        return Recorded(degraded, tuple(unwanted["event_id"].to_pylist()))
