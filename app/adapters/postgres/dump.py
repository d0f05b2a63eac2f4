"""Every table of ours as CSV, as of one moment: what a backup has of PostgreSQL, whatever version the server is of.

A partitioned table is one file; its partitions are named by their months, and made again before it is filled.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, LiteralString, Self

import psycopg
from psycopg import sql

from app.adapters.postgres.errors import translated
from app.adapters.postgres.months import MONTHS
from app.errors import NotFound

REVISION = "alembic_version"
"""The table of Alembic: what it says is told by `revision`."""

_REVISION: LiteralString = "SELECT version_num FROM alembic_version"
_COLUMNS = """
SELECT class.relname, array_agg(attribute.attname::text ORDER BY attribute.attnum)
FROM pg_class AS class JOIN pg_attribute AS attribute ON attribute.attrelid = class.oid
WHERE class.relnamespace = 'public'::regnamespace AND class.relkind IN ('r', 'p') AND NOT class.relispartition
    AND class.relname <> %s AND attribute.attnum > 0 AND NOT attribute.attisdropped AND attribute.attgenerated = ''
GROUP BY class.relname ORDER BY class.relname
"""
_SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Contents:
    """What there is to copy."""

    revision: str
    tables: Mapping[str, tuple[str, ...]]  # name -> columns
    months: tuple[date, ...]  # first days of those that events have a partition for
    sequences: Mapping[str, int]


class PostgresDump:
    """One snapshot of the database; a context manager. All raise Unavailable."""

    def __init__(self, url: str) -> None:
        with translated():
            self._connection: psycopg.Connection[Any] = psycopg.connect(
                url, options="-c timezone=UTC -c datestyle=ISO", connect_timeout=10, application_name="learnrec-backup"
            )
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._connection.read_only = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def contents(self) -> Contents:
        """Raises NotFound: the database has no schema of ours."""
        with translated():
            try:
                row = self._connection.execute(_REVISION).fetchone()
            except psycopg.errors.UndefinedTable as exc:
                raise NotFound("the database has no table of ours: there is nothing to copy") from exc
            tables = self._connection.execute(_COLUMNS.encode(), [REVISION]).fetchall()
            months = self._connection.execute(MONTHS.encode()).fetchall()
            sequences = self._connection.execute(_SEQUENCES.encode()).fetchall()
        return Contents(
            revision=row[0] if row else "",
            tables={name: tuple(columns) for name, columns in tables},
            months=tuple(month for (month,) in months),
            sequences=dict(sequences),
        )

    def copy(self, table: str, columns: tuple[str, ...], write: Callable[[bytes], Any]) -> int:
        """The rows as CSV with a header; returns how many there are."""
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv, HEADER)").format(names, sql.Identifier(table))
        with translated(), self._connection.cursor() as cursor:
            with cursor.copy(query) as copy:
                for block in copy:
                    write(bytes(block))
            return cursor.rowcount


def load(
    connection: psycopg.Connection[Any],
    table: str,
    columns: tuple[str, ...],
    read: Callable[[], bytes],
) -> int:
    """Fill an empty table with what `copy` wrote; `read` returns the next bytes, none at the end. Returns the rows."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    query = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(sql.Identifier(table), names)
    with translated(), connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            while block := read():
                copy.write(block)
        return cursor.rowcount


def set_sequences(connection: psycopg.Connection[Any], sequences: Mapping[str, int]) -> None:
    with translated():
        for name, value in sequences.items():
            connection.execute(sql.SQL("SELECT setval({}::regclass, %s)").format(f'public."{name}"'), [value])
