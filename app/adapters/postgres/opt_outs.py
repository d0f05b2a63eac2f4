"""Who does not want to be recommended to personally, in PostgreSQL."""

from datetime import datetime
from typing import Any

import psycopg

from app.adapters.postgres.erasures import LIFT, TOMBSTONES, tombstones_of
from app.adapters.postgres.errors import translated
from app.domain.erasures import Tombstones
from app.domain.pseudonyms import Keyring

_OUT = """
INSERT INTO users (user_id, external_id, created_at, opted_out_at) VALUES (%s, %s, now(), now())
ON CONFLICT (user_id) DO UPDATE SET opted_out_at = coalesce(users.opted_out_at, now())
RETURNING opted_out_at
"""
_BACK = "UPDATE users SET opted_out_at = NULL WHERE user_id = %s RETURNING user_id"
_MARK = """
SELECT (SELECT count(*) FROM users WHERE opted_out_at IS NOT NULL),
    (SELECT max(opted_out_at) FROM users WHERE opted_out_at IS NOT NULL),
    (SELECT count(*) FROM erasures), (SELECT max(greatest(requested_at, lifted_at)) FROM erasures)
"""
_ALL = "SELECT user_id::text FROM users WHERE opted_out_at IS NOT NULL"

Mark = tuple[int, datetime | None, int, datetime | None]
"""Changes whenever somebody opts out, is erased, or comes back."""


class PostgresOptOuts:
    """Asynchronous; a connection a call. All raise Unavailable."""

    def __init__(self, url: str, keyring: Keyring, *, timeout_s: float = 5.0) -> None:
        self._url, self._keyring, self._timeout_s = url, keyring, timeout_s

    async def opt_out(self, user_id: str, *, external_id: str) -> datetime:
        """Since when; a learner that nobody knows is made known for it. Again changes nothing."""
        ((since,),) = await self._rows(_OUT, user_id, external_id)
        return since

    async def come_back(self, user_id: str) -> None:
        """Again, or for somebody unknown, changes nothing. Of somebody who was erased, events are kept from now on."""
        await self._rows(LIFT, [key.of(user_id) for key in self._keyring.keys])
        await self._rows(_BACK, user_id)

    async def mark(self) -> Mark:
        return (await self._rows(_MARK))[0]

    async def all(self) -> frozenset[str]:
        """Canonical ids."""
        return frozenset(user_id for (user_id,) in await self._rows(_ALL))

    async def tombstones(self) -> Tombstones:
        """Of those who were erased."""
        return tombstones_of(await self._rows(TOMBSTONES), self._keyring)

    async def _rows(self, statement: str, *values: Any) -> list[Any]:
        with translated():
            connection = await psycopg.AsyncConnection.connect(
                self._url,
                autocommit=True,
                connect_timeout=max(1, round(self._timeout_s)),
                options=f"-c statement_timeout={round(self._timeout_s * 1000)}",
                application_name="learnrec-serving",
            )
            async with connection:
                return await (await connection.execute(statement.encode(), values)).fetchall()
