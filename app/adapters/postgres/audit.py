"""What administrators did and learners asked for, in PostgreSQL: rows that are only added, each sealing all before."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg

from app.adapters.postgres.errors import translated
from app.errors import Conflict

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('audit', 0))"
_LAST = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"
_ADD = "INSERT INTO audit (seq, at, actor, role, action, object, hash) VALUES (%s, %s, %s, %s, %s, %s, %s)"
_ALL = "SELECT seq, at, actor, role, action, object, hash FROM audit ORDER BY seq"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done or asked for."""

    seq: int  # from 1, without gaps
    at: datetime
    actor: str  # pseudonym of whoever asked
    role: str
    action: str
    object: str  # a job, a release, or the pseudonym of a learner

    def sealed(self, previous: bytes) -> bytes:
        told = [self.seq, self.at.astimezone(UTC).isoformat(), self.actor, self.role, self.action, self.object]
        return hashlib.sha256(previous + orjson.dumps(told)).digest()


class PostgresAudit:
    """A connection a call. All raise Unavailable."""

    def __init__(self, url: str) -> None:
        self._url = url

    def add(self, *, actor: str, role: str, action: str, object_: str) -> None:
        with translated(), self._connection() as connection, connection.transaction():
            connection.execute(_LOCK)
            last, previous = connection.execute(_LAST).fetchone() or (0, b"")
            entry = AuditEntry(last + 1, datetime.now(UTC), actor, role, action, object_)
            values = [entry.seq, entry.at, entry.actor, entry.role, entry.action, entry.object]
            connection.execute(_ADD, [*values, entry.sealed(bytes(previous))])

    def entries(self) -> list[AuditEntry]:
        """All, oldest first. Raises Conflict: one was changed, added otherwise or taken out, and which."""
        found, previous = [], b""
        with translated(), self._connection() as connection:
            for *values, seal in connection.execute(_ALL):
                entry = AuditEntry(*values)
                if entry.seq != len(found) + 1 or entry.sealed(previous) != bytes(seal):
                    raise Conflict(
                        f"the audit log was tampered with at entry {len(found) + 1}: restore it from a backup"
                    )
                found.append(entry)
                previous = bytes(seal)
        return found

    def _connection(self) -> psycopg.Connection[Any]:
        return psycopg.connect(
            self._url, autocommit=True, options="-c timezone=UTC", connect_timeout=10, application_name="learnrec"
        )
