"""Erasures in PostgreSQL: asked for, under way, done, and the tombstones that are left of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, LiteralString

import psycopg
from psycopg.types.json import Jsonb

from app.adapters.postgres.errors import translated
from app.domain.erasures import Erasure, Tombstones
from app.domain.pseudonyms import Keyring

_FIND = """
SELECT learner::text, key_name, requested_at, finished_at, lifted_at, removed, receipt
FROM erasures WHERE learner = ANY(%s::uuid[]) ORDER BY requested_at DESC
"""
# Once more for somebody who came back, or whose erasure has not ended; else what was done stays as it is.
_REQUEST = """
INSERT INTO erasures (learner, key_name, user_id) VALUES (%s, %s, %s)
ON CONFLICT (learner) DO UPDATE SET user_id = excluded.user_id, requested_at = now(), finished_at = NULL,
    lifted_at = NULL, removed = '{}', receipt = NULL
WHERE erasures.lifted_at IS NOT NULL
"""
TOMBSTONES: LiteralString = "SELECT key_name, learner::text, lifted_at FROM erasures"
# In one transaction with the count of what went, so that a receipt tells it right after a crash, too.
_ERASE = """
WITH of_events AS (DELETE FROM events WHERE user_id = %(user)s RETURNING 1),
    of_completions AS (DELETE FROM completions WHERE user_id = %(user)s RETURNING 1),
    of_users AS (DELETE FROM users WHERE user_id = %(user)s RETURNING 1)
SELECT (SELECT count(*) FROM of_events), (SELECT count(*) FROM of_completions), (SELECT count(*) FROM of_users)
"""
_REMAINING = """
SELECT (SELECT count(*) FROM events WHERE user_id = %(user)s),
    (SELECT count(*) FROM completions WHERE user_id = %(user)s), (SELECT count(*) FROM users WHERE user_id = %(user)s)
"""
LIFT: LiteralString = """
UPDATE erasures SET lifted_at = now()
WHERE learner = ANY(%s::uuid[]) AND lifted_at IS NULL AND finished_at IS NOT NULL RETURNING learner
"""
"""The learner, by pseudonyms, came back; while their erasure is under way that changes nothing."""

TABLES = ("postgresql.events", "postgresql.completions", "postgresql.users")


class PostgresErasures:
    """A connection a call. All raise Unavailable."""

    def __init__(self, url: str) -> None:
        self._url = url

    def request(self, user_id: str, keyring: Keyring) -> Erasure:
        """From now on nothing is kept of the learner; again, for one who is erased already, changes nothing."""
        found = self.find(user_id, keyring)
        if found is None or found.lifted_at is not None:
            key = keyring.current
            with translated(), self._connection() as connection:
                if found is not None and found.learner != key.of(user_id):  # under a newer key from now on
                    connection.execute("DELETE FROM erasures WHERE learner = %s", [found.learner])
                connection.execute(_REQUEST, [key.of(user_id), key.name, user_id])
            found = self.find(user_id, keyring)
        assert found is not None
        return found

    def find(self, user_id: str, keyring: Keyring) -> Erasure | None:
        learners = [key.of(user_id) for key in keyring.keys]
        rows = self._rows(_FIND, learners)
        return Erasure(*rows[0]) if rows else None

    def unfinished(self) -> Mapping[str, str]:
        """Canonical id of every learner who is still to be erased, by pseudonym; the oldest request first."""
        found = self._rows(
            "SELECT learner::text, user_id::text FROM erasures WHERE finished_at IS NULL ORDER BY requested_at"
        )
        return dict(found)

    def erase_rows(self, learner: str, user_id: str) -> None:
        """The learner's rows of TABLES, counted among what is removed."""
        with translated(), self._connection() as connection, connection.transaction():
            counts = connection.execute(_ERASE, {"user": user_id}).fetchone() or ()
            _add(connection, learner, dict(zip(TABLES, counts, strict=True)))

    def remaining(self, user_id: str) -> dict[str, int]:
        """Rows of the learner, by table."""
        return dict(zip(TABLES, self._rows(_REMAINING, {"user": user_id})[0], strict=True))

    def add_removed(self, learner: str, counts: Mapping[str, int]) -> None:
        with translated(), self._connection() as connection, connection.transaction():
            _add(connection, learner, counts)

    def finish(self, learner: str, *, at: datetime, receipt: str) -> None:
        """Whom it was about is forgotten with it."""
        with translated(), self._connection() as connection:
            connection.execute(
                "UPDATE erasures SET finished_at = %s, receipt = %s, user_id = NULL WHERE learner = %s",
                [at, receipt, learner],
            )

    def tombstones(self, keyring: Keyring) -> Tombstones:
        return tombstones_of(self._rows(TOMBSTONES), keyring)

    def _rows(self, statement: LiteralString, values: Any = ()) -> list[Any]:
        given = [values] if isinstance(values, list) else values
        with translated(), self._connection() as connection:
            return connection.execute(statement, given).fetchall()

    def _connection(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._url, autocommit=True, options="-c timezone=UTC", connect_timeout=10, application_name="learnrec"
        )


def read_tombstones(connection: psycopg.Connection[Any], keyring: Keyring) -> Tombstones:
    """On a connection that is there."""
    return tombstones_of(connection.execute(TOMBSTONES).fetchall(), keyring)


def tombstones_of(rows: Sequence[tuple[str, str, datetime | None]], keyring: Keyring) -> Tombstones:
    """`rows`: name of the key, pseudonym, when the learner came back. Those under keys that are gone say nothing."""
    by_key: dict[Any, dict[str, datetime | None]] = {}
    for key_name, learner, lifted_at in rows:
        key = keyring.named(key_name)
        if key is not None:
            by_key.setdefault(key, {})[learner] = lifted_at
    return Tombstones(by_key)


def _add(connection: psycopg.Connection[Any], learner: str, counts: Mapping[str, int]) -> None:
    row = connection.execute("SELECT removed FROM erasures WHERE learner = %s FOR UPDATE", [learner]).fetchone()
    before = row[0] if row else {}
    after = {**before, **{store: before.get(store, 0) + count for store, count in counts.items()}}
    connection.execute("UPDATE erasures SET removed = %s WHERE learner = %s", [Jsonb(after), learner])
