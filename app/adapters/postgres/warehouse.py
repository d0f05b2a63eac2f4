"""Bulk reads and writes for import and jobs: COPY into a staging table, then one statement."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import LiteralString, Self

import numpy as np
import psycopg
import pyarrow as pa

from app.adapters.postgres.erasures import read_tombstones
from app.adapters.postgres.errors import translated
from app.adapters.postgres.partitions import ensure_months
from app.adapters.postgres.transfer import fetch, stage
from app.domain.contents import CONTENT_SCHEMA, USER_SCHEMA
from app.domain.erasures import Tombstones
from app.domain.pseudonyms import Keyring
from app.errors import Conflict, InvalidInput
from app.ports.metadata import NewEvents

_PUT_USERS = """
INSERT INTO users (user_id, external_id, cohort_tag, created_at)
SELECT DISTINCT ON (user_id) user_id, external_id, cohort_tag, created_at FROM staged ORDER BY user_id, created_at
ON CONFLICT (user_id) DO UPDATE SET
    external_id = excluded.external_id,
    cohort_tag = coalesce(excluded.cohort_tag, users.cohort_tag),
    created_at = least(excluded.created_at, users.created_at)
"""

_PUT_CONTENTS = """
INSERT INTO contents (content_id, external_id, title, type, tags, difficulty, created_at)
SELECT DISTINCT ON (content_id) content_id, external_id, title, type,
    ARRAY(SELECT json_array_elements_text(tags)), difficulty, created_at
FROM staged ORDER BY content_id, created_at
ON CONFLICT (content_id) DO UPDATE SET
    external_id = excluded.external_id, title = excluded.title, type = excluded.type, tags = excluded.tags,
    difficulty = coalesce(excluded.difficulty, contents.difficulty), created_at = excluded.created_at
"""

_PUT_EVENTS = """
INSERT INTO events (event_id, user_id, content_id, event_type, value, ts)
SELECT event_id, user_id, content_id, event_type, value, ts FROM staged
ON CONFLICT (event_id, ts) DO NOTHING
"""

_PUT_COMPLETIONS = """
INSERT INTO completions (user_id, content_id, completed_at)
SELECT user_id, content_id, min(ts) FROM staged WHERE event_type = 'complete' GROUP BY user_id, content_id
ON CONFLICT (user_id, content_id) DO UPDATE SET completed_at = excluded.completed_at
WHERE excluded.completed_at < completions.completed_at
"""

_PUT_ACTIVITY = """
INSERT INTO users (user_id, external_id, created_at, last_active_at)
SELECT user_id, user_id::text, min(ts), max(ts) FROM staged GROUP BY user_id
ON CONFLICT (user_id) DO UPDATE SET
    created_at = least(excluded.created_at, users.created_at),
    last_active_at = greatest(excluded.last_active_at, users.last_active_at)
"""

# By event_id alone, where the partitioned primary key needs ts too: a client may send an event again with a new time.
# Two arrays, not rows: psycopg waits for each row of a result by itself.
_NEW_EVENTS = """
SELECT array_agg(row ORDER BY row) FILTER (WHERE known AND NOT out),
    array_agg(row ORDER BY row) FILTER (WHERE NOT known AND NOT out), count(*) FILTER (WHERE out)
FROM (
    SELECT row, EXISTS (SELECT 1 FROM contents WHERE contents.content_id = first.content_id) AS known,
        EXISTS (SELECT 1 FROM users WHERE users.user_id = first.user_id AND opted_out_at IS NOT NULL) AS out
    FROM (SELECT DISTINCT ON (event_id) row, event_id, user_id, content_id FROM staged ORDER BY event_id, row) AS first
    WHERE NOT EXISTS (SELECT 1 FROM events WHERE events.event_id = first.event_id)
) AS new
"""

_STORED = """
SELECT array_agg(row ORDER BY row)
FROM (SELECT min(staged.row) AS row FROM staged JOIN events USING (event_id, ts) GROUP BY event_id) AS first
"""

_READ: dict[str, tuple[LiteralString, pa.Schema]] = {
    "users": (
        "SELECT user_id, external_id, cohort_tag, created_at, opted_out_at IS NOT NULL FROM users ORDER BY user_id",
        USER_SCHEMA.append(pa.field("opted_out", pa.bool_(), nullable=False)),
    ),
    "contents": (
        "SELECT content_id, external_id, title, type, array_to_json(tags), difficulty, created_at"
        " FROM contents ORDER BY content_id",
        CONTENT_SCHEMA,
    ),
}

_USER_COLUMNS: dict[str, LiteralString] = {
    "user_id": "uuid",
    "external_id": "text",
    "cohort_tag": "text",
    "created_at": "timestamptz",
}
_CONTENT_COLUMNS: dict[str, LiteralString] = {
    "content_id": "uuid",
    "external_id": "text",
    "title": "text",
    "type": "text",
    "tags": "json",
    "difficulty": "smallint",
    "created_at": "timestamptz",
}
_EVENT_COLUMNS: dict[str, LiteralString] = {
    "event_id": "uuid",
    "user_id": "uuid",
    "content_id": "uuid",
    "event_type": "text",
    "value": "double precision",
    "ts": "timestamptz",
}
_NEW_EVENT_COLUMNS: dict[str, LiteralString] = {
    "event_id": "uuid",
    "user_id": "uuid",
    "content_id": "uuid",
    "row": "bigint",
}
_STAGED = "staged"


class PostgresWarehouse:
    """Implements `app.ports.metadata.Warehouse` on one connection; a context manager that closes it."""

    def __init__(self, url: str, *, keyring: Keyring | None = None, timeout_s: float = 10.0) -> None:
        """With the keys of pseudonyms, nothing is taken in of learners who were erased."""
        self._keyring = keyring
        with translated():
            self._connection = psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=max(1, round(timeout_s)),
                options="-c timezone=UTC -c jit=off",
                application_name="learnrec",
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def put_users(self, users: pa.Table) -> None:
        if self._keyring is not None:
            tombstones = self._tombstones()
            erased = [tombstones.stands_for(user_id) for user_id in users["user_id"].to_pylist()]
            users = users.filter(pa.array([not one for one in erased], pa.bool_()))
        self._put(_USER_COLUMNS, users, _PUT_USERS)

    def put_contents(self, contents: pa.Table) -> None:
        self._put(_CONTENT_COLUMNS, contents, _PUT_CONTENTS)

    def put_events(self, events: pa.Table) -> int:
        if not len(events):
            return 0
        with translated():
            ensure_months(self._connection, _months(events))
        return self._put(_EVENT_COLUMNS, events, _PUT_EVENTS, _PUT_COMPLETIONS, _PUT_ACTIVITY)

    def new_events(self, events: pa.Table) -> NewEvents:
        num_events, events = len(events), self._tombstones().kept(events)
        rows = events.select(["event_id", "user_id", "content_id"])
        numbered = rows.append_column("row", pa.array(np.arange(len(rows))))
        with self._transaction() as cursor:
            stage(cursor, _STAGED, _NEW_EVENT_COLUMNS, rows=numbered)
            found, unknown, num_opted_out = cursor.execute(_NEW_EVENTS, binary=True).fetchone() or ((), (), 0)
        known, unknown = (pa.array(rows or [], pa.int64()) for rows in (found, unknown))
        return NewEvents(events.take(known), events.take(unknown), num_opted_out, num_events - len(events))

    def stored(self, events: pa.Table) -> pa.Table:
        """The rows that are stored as they are, by event_id and ts, each once."""
        rows = events.select(["event_id", "ts"])
        numbered = rows.append_column("row", pa.array(np.arange(len(rows))))
        with self._transaction() as cursor:
            stage(cursor, _STAGED, {"event_id": "uuid", "ts": "timestamptz", "row": "bigint"}, rows=numbered)
            found = cursor.execute(_STORED, binary=True).fetchone()
        return events.take(pa.array((found and found[0]) or [], pa.int64()))

    def read(self, what: str) -> pa.Table:
        if what not in _READ:
            raise InvalidInput(f"cannot read {what!r}: choose one of {', '.join(_READ)}")
        query, schema = _READ[what]
        with self._transaction() as cursor:
            return fetch(cursor, query, schema)

    @contextmanager
    def exclusive(self, name: str, *, wait_s: float = 5.0) -> Iterator[None]:
        """Only one process at a time, anywhere, is inside for the same name.

        Raises Conflict where one is, and still is after `wait_s`: a busy server takes seconds to notice that the one
        which was inside has been killed.
        """
        with translated():
            try:
                with self._connection.transaction():
                    timeout = f"SET LOCAL lock_timeout = {max(1, round(wait_s * 1000))}"
                    self._connection.execute(timeout.encode())
                    self._connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [name])
            except psycopg.errors.LockNotAvailable as exc:
                raise Conflict(f"{name} is running already: wait until it ends, or end it") from exc
        try:
            yield
        finally:
            if not self._connection.closed:  # the server lets go of it with the connection
                self._connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", [name])

    def _put(self, columns: Mapping[str, LiteralString], rows: pa.Table, *statements: LiteralString) -> int:
        """All `statements` on the staged rows in one transaction; the number of rows that the first one wrote."""
        with self._transaction() as cursor:
            stage(cursor, _STAGED, columns, rows=rows)
            counts = [cursor.execute(statement).rowcount for statement in statements]
        return counts[0]

    def _tombstones(self) -> Tombstones:
        with translated():
            return read_tombstones(self._connection, self._keyring) if self._keyring else Tombstones()

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor]:
        with translated(), self._connection.transaction(), self._connection.cursor() as cursor:
            yield cursor


def _months(events: pa.Table) -> list[date]:
    months = np.unique(events.column("ts").to_numpy().astype("datetime64[M]"))
    return months.astype("datetime64[D]").astype(object).tolist()
