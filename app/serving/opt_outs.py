"""Those who opted out, in this replica's memory: nothing personal for them and of them, whichever store is away."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from app.adapters.postgres.opt_outs import Mark, PostgresOptOuts
from app.adapters.redis_features import RedisFeatures
from app.domain.erasures import Tombstones
from app.errors import Unavailable

LOOK_EVERY_S = 1.0
"""So much later a replica knows whom another one was told of; PostgreSQL tells it of every request's learner anyway."""

_LOG = logging.getLogger(__name__)


class OptOuts:
    """`run` looks for changes beside the requests."""

    def __init__(self, stored: PostgresOptOuts, features: RedisFeatures) -> None:
        self._stored, self._features = stored, features
        self._out: frozenset[str] = frozenset()
        self._tombstones = Tombstones()
        self._mark: Mark | None = None

    def among(self, user_ids: Sequence[str]) -> tuple[bool, ...]:
        """Of canonical ids, in their order."""
        return tuple(user_id in self._out or self._tombstones.stands_for(user_id) for user_id in user_ids)

    def parted(self, events: pa.Table) -> tuple[pa.Table, pa.Table]:
        """Events that may be kept, and those of learners who opted out. EVENT_SCHEMA."""
        if not self._out and not self._tombstones.by_key:
            return events, events.slice(0, 0)
        out = pa.array(self.among(events["user_id"].to_pylist()), pa.bool_())
        return events.filter(pc.call_function("invert", [out])), events.filter(out)

    async def opt_out(self, user_id: str, *, external_id: str) -> datetime:
        """Since when. What Redis remembers of the learner goes. Raises Unavailable: then it is to be said again."""
        since = await self._stored.opt_out(user_id, external_id=external_id)
        self._out |= {user_id}
        await self._features.forget(user_id)
        return since

    async def erased(self, user_id: str) -> None:
        """The learner is erased from now on. What Redis remembers goes with the job. Raises Unavailable."""
        self._out -= {user_id}
        await self.look()

    async def come_back(self, user_id: str) -> None:
        """Raises Unavailable."""
        await self._stored.come_back(user_id)
        self._out -= {user_id}
        await self.look()

    async def look(self) -> None:
        """Raises Unavailable: what was known holds."""
        mark = await self._stored.mark()
        if mark != self._mark:
            self._out, self._tombstones = await self._stored.all(), await self._stored.tombstones()
            self._mark = mark

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as exc:
                _LOG.info("who opted out is not known anew: %s", exc)
            await asyncio.sleep(LOOK_EVERY_S)
