"""What learners asked for since a backup was made outlasts the database's replacement by it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from app.adapters.postgres.audit import PostgresAudit
from app.adapters.postgres.erasures import LIFT, PostgresErasures
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.adapters.postgres.wishes import Wishes, keep_wishes, read_wishes
from app.domain.pseudonyms import Keyring, PseudonymKey
from tests import rows

RING = Keyring([PseudonymKey(b"the key of the wishes is long enough")])
GONE, BACK, HALF, OUT, OTHER = rows.ids(["gone", "back", "half", "out", "other"])


@pytest.fixture
def connection(clean_postgres: str) -> Iterator[psycopg.Connection[Any]]:
    """Five learners, as when the backup was made; HALF's erasure was asked for by then."""
    with PostgresWarehouse(clean_postgres) as warehouse:
        warehouse.put_users(rows.users(["gone", "back", "half", "out", "other"]))
    PostgresErasures(clean_postgres).request(HALF, RING)
    PostgresAudit(clean_postgres).add(actor="a", role="admin", action="before", object_="it")
    with psycopg.connect(clean_postgres, autocommit=True) as connection:
        yield connection


def since(url: str, connection: psycopg.Connection[Any]) -> Wishes:
    """What the database knows after some more days; then it is as it was again."""
    backup = read_wishes(connection)
    erasures = PostgresErasures(url)
    for learner in (GONE, BACK):
        erasures.request(learner, RING)
    for learner in (GONE, BACK, HALF):
        erasures.finish(RING.current.of(learner), at=datetime.now(UTC), receipt="signed")
    connection.execute(LIFT, [[RING.current.of(BACK)]])
    connection.execute("UPDATE users SET opted_out_at = now() WHERE user_id = %s", [OUT])
    PostgresAudit(url).add(actor="a", role="admin", action="after", object_="it")
    known = read_wishes(connection)
    connection.execute("DELETE FROM erasures")
    connection.execute("UPDATE users SET opted_out_at = NULL")
    connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
    connection.execute("DELETE FROM audit WHERE seq > 1")
    connection.execute("ALTER TABLE audit ENABLE TRIGGER ALL")
    keep_wishes(connection, Wishes(backup.tombstones), RING)
    connection.execute(
        "UPDATE erasures SET finished_at = NULL, user_id = %s WHERE learner = %s", [HALF, RING.current.of(HALF)]
    )
    return known


def test_the_erased_are_to_be_erased_again_and_who_opted_out_stays_out(
    clean_postgres: str, connection: psycopg.Connection[Any]
) -> None:
    known = since(clean_postgres, connection)

    kept = keep_wishes(connection, known, RING)

    assert kept == {"erased_again": 3, "opted_out": 1, "audit_entries": 1}
    assert set(PostgresErasures(clean_postgres).unfinished().values()) == {GONE, BACK, HALF}
    tombstones = PostgresErasures(clean_postgres).tombstones(RING)
    assert [tombstones.stands_for(one) for one in (GONE, BACK, OTHER)] == [True, False, False]
    assert read_wishes(connection).opted_out[0][0].urn.endswith(OUT)
    assert [entry.action for entry in PostgresAudit(clean_postgres).entries()] == ["before", "after"]


def test_what_a_backup_knew_already_is_no_news(clean_postgres: str, connection: psycopg.Connection[Any]) -> None:
    erasures = PostgresErasures(clean_postgres)
    erasures.finish(RING.current.of(HALF), at=datetime.now(UTC), receipt="signed")
    connection.execute(LIFT, [[RING.current.of(HALF)]])

    kept = keep_wishes(connection, read_wishes(connection), RING)

    assert set(kept.values()) == {0}
    assert not erasures.unfinished(), "whoever came back before the backup is in it by right"


def test_another_installations_audit_log_is_not_mixed_in(
    clean_postgres: str, connection: psycopg.Connection[Any]
) -> None:
    known = read_wishes(connection)
    others = Wishes(audit=((1, datetime.now(UTC), "x", "admin", "other", "log", b"seal"), *known.audit))

    assert keep_wishes(connection, others, RING)["audit_entries"] == 0
    assert len(PostgresAudit(clean_postgres).entries()) == 1
