"""The monthly partitions of `events`: which there are, what is in them, and their end."""

from datetime import UTC, date, datetime, timedelta
from typing import LiteralString, Self, cast

import psycopg
import pyarrow as pa
from psycopg import sql

from app.adapters.postgres.errors import translated
from app.adapters.postgres.partitions import ensure_months, partition_of
from app.adapters.postgres.transfer import fetch
from app.domain.events import EVENT_SCHEMA

MONTHS = """
SELECT to_date(substring(inhrelid::regclass::text FROM 'y(\\d{4}m\\d{2})$'), 'YYYY"m"MM')
FROM pg_inherits WHERE inhparent = 'events'::regclass ORDER BY 1
"""

_DAY = "SELECT event_id, user_id, content_id, event_type, value, ts FROM events"


class PostgresMonths:
    """On one connection; a context manager that closes it. All raise Unavailable."""

    def __init__(self, url: str) -> None:
        with translated():
            self._connection = psycopg.connect(
                url, autocommit=True, options="-c timezone=UTC", application_name="learnrec"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def months(self) -> tuple[date, ...]:
        """First days of the months that have a partition, oldest first."""
        with translated():
            return tuple(month for (month,) in self._connection.execute(MONTHS.encode()).fetchall())

    def ensure(self, *months: date) -> None:
        """A partition for each of these months."""
        with translated():
            ensure_months(self._connection, months)

    def day(self, day: date) -> pa.Table:
        """All events of a day (UTC), EVENT_SCHEMA."""
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        span = (start.isoformat(), (start + timedelta(days=1)).isoformat())
        query = cast(LiteralString, f"{_DAY} WHERE ts >= '{span[0]}' AND ts < '{span[1]}'")  # dates alone
        with translated(), self._connection.transaction(), self._connection.cursor() as cursor:
            return fetch(cursor, query, EVENT_SCHEMA)

    def drop(self, month: date) -> None:
        """Take the month's partition out of `events` and drop it; readers wait for an instant only."""
        table = sql.Identifier(partition_of(month))
        with translated(), self._connection.transaction():
            self._connection.execute(sql.SQL("ALTER TABLE events DETACH PARTITION {}").format(table))
            self._connection.execute(sql.SQL("DROP TABLE {}").format(table))
