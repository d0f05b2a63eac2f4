"""What learners asked for and administrators did since a backup was made: it outlasts the database's replacement.

A restored backup knows again whom it knew then. Whoever was erased since is to be erased again, whoever opted out is
to stay so, and the audit log only grows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from app.adapters.postgres.errors import translated
from app.domain.pseudonyms import Keyring

_TOMBSTONES = """
SELECT learner::text, key_name, user_id::text, requested_at, finished_at, lifted_at, removed, receipt FROM erasures
"""
_OPTED_OUT = "SELECT user_id, external_id, created_at, opted_out_at FROM users WHERE opted_out_at IS NOT NULL"
_AUDIT = "SELECT seq, at, actor, role, action, object, hash FROM audit ORDER BY seq"
_PUT_TOMBSTONE = """
INSERT INTO erasures (learner, key_name, user_id, requested_at, finished_at, lifted_at, removed, receipt)
VALUES (%(learner)s, %(key_name)s, %(user_id)s, %(requested_at)s, %(finished_at)s, %(lifted_at)s, %(removed)s,
    %(receipt)s)
ON CONFLICT (learner) DO UPDATE SET key_name = excluded.key_name, user_id = excluded.user_id,
    requested_at = excluded.requested_at, finished_at = excluded.finished_at, lifted_at = excluded.lifted_at,
    removed = excluded.removed, receipt = excluded.receipt
"""
_AGAIN = """
UPDATE erasures SET user_id = %s, finished_at = NULL, removed = '{}', receipt = NULL WHERE learner = %s
"""
_OPT_OUT = """
INSERT INTO users (user_id, external_id, created_at, opted_out_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (user_id) DO UPDATE SET opted_out_at = coalesce(users.opted_out_at, excluded.opted_out_at)
"""
_ADD_AUDIT = "INSERT INTO audit (seq, at, actor, role, action, object, hash) VALUES (%s, %s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Tombstone:
    """One row of erasures."""

    learner: str
    key_name: str
    user_id: str | None
    requested_at: datetime
    finished_at: datetime | None
    lifted_at: datetime | None
    removed: dict[str, int]
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Wishes:
    """Of one database."""

    tombstones: Mapping[str, Tombstone] = field(default_factory=dict[str, Tombstone])  # by pseudonym
    opted_out: tuple[tuple[Any, ...], ...] = ()
    audit: tuple[tuple[Any, ...], ...] = ()


def read_wishes(connection: psycopg.Connection[Any]) -> Wishes:
    """None where the database has no tables of ours. Raises Unavailable."""
    with translated():
        (there,) = connection.execute("SELECT to_regclass('public.erasures') IS NOT NULL").fetchone() or (False,)
        if not there:
            return Wishes()
        tombstones = connection.cursor(row_factory=class_row(Tombstone)).execute(_TOMBSTONES.encode()).fetchall()
        return Wishes(
            {one.learner: one for one in tombstones},
            tuple(connection.execute(_OPTED_OUT).fetchall()),
            tuple(connection.execute(_AUDIT).fetchall()),
        )


def keep_wishes(connection: psycopg.Connection[Any], wishes: Wishes, keyring: Keyring) -> dict[str, int]:
    """Add them to a database that was restored; returns how many it did not know of.

    `erased_again` are learners whom it has and who were erased since: `erase_learners` takes them out. Raises
    Unavailable.
    """
    restored = read_wishes(connection)
    newer = [one for one in wishes.tombstones.values() if one != restored.tombstones.get(one.learner)]
    with translated():
        for one in newer:
            values = {name: getattr(one, name) for name in Tombstone.__slots__}
            connection.execute(_PUT_TOMBSTONE.encode(), {**values, "removed": Jsonb(one.removed)})
        back = _come_back(connection, [one for one in newer if _undone(one, restored)], keyring)
        for learner, user_id in back.items():
            connection.execute(_AGAIN.encode(), [user_id, learner])
        out = {row[0] for row in restored.opted_out}
        fresh = [row for row in wishes.opted_out if row[0] not in out]
        for row in fresh:
            connection.execute(_OPT_OUT.encode(), row)
        later = _continued(restored.audit, wishes.audit)
        for row in later:
            connection.execute(_ADD_AUDIT.encode(), row)
    return {"erased_again": len(back), "opted_out": len(fresh), "audit_entries": len(later)}


def _undone(one: Tombstone, restored: Wishes) -> bool:
    """Whether the erasure was not done yet when the backup was made, so that what it took out may be back."""
    known = restored.tombstones.get(one.learner)
    return known is None or known.finished_at is None or one.requested_at > known.requested_at


def _come_back(connection: psycopg.Connection[Any], erased: list[Tombstone], keyring: Keyring) -> dict[str, str]:
    """Ids of the erased that the database has again, by pseudonym: their tombstones do not tell them any more."""
    if not erased:
        return {}
    wanted = {one.learner for one in erased}
    keys = [key for name in {one.key_name for one in erased} if (key := keyring.named(name))]
    users = (user_id for (user_id,) in connection.execute("SELECT user_id::text FROM users"))
    return {name: user_id for user_id in users for key in keys if (name := key.of(user_id)) in wanted}


def _continued(
    restored: tuple[tuple[Any, ...], ...], there: tuple[tuple[Any, ...], ...]
) -> tuple[tuple[Any, ...], ...]:
    """What was added to the audit log since; nothing where it is another log."""
    if there[: len(restored)] != restored:
        return ()
    return there[len(restored) :]
