"""Monthly partitions of `events`: made where a month is first needed, however old, and nowhere else."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import psycopg
from psycopg import sql

_LOCK = 7_306_920_418
"""Advisory lock under which partitions are made."""


def ensure_months(connection: psycopg.Connection, months: Iterable[date]) -> None:
    """A partition for every month that `months` (first days) name; in a transaction of its own.

    A table that is made first and attached then does not block readers of `events`.
    """
    wanted = {partition_of(month): month for month in months}
    with connection.transaction(), connection.cursor() as cursor:
        missing = wanted.keys() - _existing(cursor)
        if not missing:
            return
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        for name in sorted(missing - _existing(cursor)):
            first = datetime(wanted[name].year, wanted[name].month, 1, tzinfo=UTC)
            table = sql.Identifier(name)
            cursor.execute(sql.SQL("CREATE TABLE {} (LIKE events INCLUDING ALL)").format(table))
            cursor.execute(
                sql.SQL("ALTER TABLE events ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
                    table, sql.Literal(first), sql.Literal(_next_month(first))
                )
            )


def partition_of(month: date) -> str:
    """The name of a month's table."""
    return f"events_y{month:%Ym%m}"


def _existing(cursor: psycopg.Cursor) -> set[str]:
    cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass")
    return {str(name) for (name,) in cursor.fetchall()}


def _next_month(first: datetime) -> datetime:
    return (first + timedelta(days=32)).replace(day=1)
