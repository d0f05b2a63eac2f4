"""What serving asks of PostgreSQL: one prepared statement a batch of learners, on a pool."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from app.adapters.postgres.errors import translated
from app.ports.metadata import LearnerRecords

# Partitions are ordered by ts: the inner LIMIT stops at the newest months of an active learner.
_LEARNERS = """
SELECT users.user_id IS NOT NULL, users.opted_out_at IS NOT NULL, users.cohort_tag,
    recent.contents, recent.types, recent.ts, done.contents
FROM unnest(%(user_ids)s::uuid[]) WITH ORDINALITY AS asked(user_id, position)
LEFT JOIN users ON users.user_id = asked.user_id
LEFT JOIN LATERAL (
    SELECT array_agg(content_id::text) AS contents, array_agg(event_type) AS types,
        array_agg(floor(extract(epoch FROM ts))::bigint) AS ts
    FROM (
        SELECT content_id, event_type, ts FROM events
        WHERE events.user_id = asked.user_id ORDER BY ts DESC LIMIT %(window)s
    ) AS last_events
) AS recent ON true
LEFT JOIN LATERAL (
    SELECT array_agg(content_id::text) AS contents FROM completions WHERE completions.user_id = asked.user_id
) AS done ON true
ORDER BY asked.position
"""

_ACTIVE = """
SELECT user_id::text FROM users WHERE opted_out_at IS NULL AND last_active_at IS NOT NULL
ORDER BY last_active_at DESC, user_id LIMIT %s
"""

_Row = tuple[bool, bool, str | None, list[str] | None, list[str] | None, list[int] | None, list[str] | None]


class PostgresLearnerDirectory:
    """Implements `app.ports.metadata.LearnerDirectory`; an asynchronous context manager.

    Entering does not wait for the server: a directory opens while PostgreSQL is away, and heals when it returns.
    """

    def __init__(self, url: str, *, pool_size: int = 4, timeout_s: float = 2.0) -> None:
        self._timeout_s = timeout_s
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=timeout_s,
            open=False,
            configure=_prepare,
            check=AsyncConnectionPool.check_connection,  # an empty round trip: no request meets a dead connection
            kwargs={
                "autocommit": True,
                "connect_timeout": max(1, round(timeout_s)),
                # Planning over all partitions costs more than running: plan once.
                "options": f"-c statement_timeout={round(timeout_s * 1000)} -c plan_cache_mode=force_generic_plan"
                " -c jit=off -c timezone=UTC",
                "application_name": "learnrec-serving",
            },
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def learners(self, user_ids: Sequence[str], *, window: int) -> LearnerRecords:
        """`user_ids` are canonical."""
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    _LEARNERS, {"user_ids": list(user_ids), "window": window}, prepare=True
                )
                rows: list[_Row] = await cursor.fetchall()
        return LearnerRecords(
            known=np.array([row[0] for row in rows], np.bool_),
            opted_out=np.array([row[1] for row in rows], np.bool_),
            cohort=tuple(row[2] for row in rows),
            contents=tuple(row[3] or () for row in rows),
            event_types=tuple(row[4] or () for row in rows),
            ts=tuple(row[5] or () for row in rows),
            completed=tuple(row[6] or () for row in rows),
        )

    async def active(self, *, limit: int) -> list[str]:
        """Canonical ids of the learners who were active last, those who opted out left out."""
        with translated():
            async with self._pool.connection() as connection:
                rows = await (await connection.execute(_ACTIVE, [limit])).fetchall()
        return [user_id for (user_id,) in rows]

    async def ping(self) -> None:
        with translated():
            async with self._pool.connection() as connection:
                await connection.execute("SELECT 1")


async def _prepare(connection: AsyncConnection[Any]) -> None:
    """Pay for planning when a connection opens, not in the first request that uses it."""
    connection.prepare_threshold = 0
