"""PopularContents on PostgreSQL: one statement, asked rarely and kept by the caller."""

from typing import Any

import psycopg
import pyarrow as pa

from app.adapters.postgres.errors import translated

_POPULAR = """
SELECT content_id::text, title, type FROM contents
LEFT JOIN (
    SELECT content_id, count(DISTINCT user_id) AS num_learners FROM events
    WHERE ts > now() - interval '30 days' GROUP BY content_id
) AS lately USING (content_id)
ORDER BY num_learners DESC NULLS LAST, created_at DESC, content_id LIMIT %s
"""
_SCHEMA = pa.schema([("content_id", pa.string()), ("title", pa.string()), ("type", pa.string())])


class PostgresPopularContents:
    """Implements `app.ports.popular.PopularContents`; a connection a call."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._url, self._timeout_s = url, timeout_s

    async def popular(self, *, limit: int) -> pa.Table:
        with translated():
            options = f"-c statement_timeout={round(self._timeout_s * 1000)}"
            connection = await psycopg.AsyncConnection.connect(
                self._url, connect_timeout=max(1, round(self._timeout_s)), options=options
            )
            async with connection:
                rows: list[tuple[Any, ...]] = await (await connection.execute(_POPULAR, [limit])).fetchall()
        return pa.Table.from_pylist([dict(zip(_SCHEMA.names, row, strict=True)) for row in rows], schema=_SCHEMA)
