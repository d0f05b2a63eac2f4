"""PostgreSQL in bulk: everything can be put twice, and comes back as it was."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow as pa
import pytest

from app.adapters.postgres.migrations import migrate
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.domain.contents import CONTENT_SCHEMA, USER_SCHEMA
from app.errors import Conflict, InvalidInput, Unavailable
from tests import rows


@pytest.fixture
def warehouse(clean_postgres: str) -> Iterator[PostgresWarehouse]:
    with PostgresWarehouse(clean_postgres) as warehouse:
        yield warehouse


def ask(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_contents_come_back_as_they_were_however_often_they_are_put(warehouse: PostgresWarehouse) -> None:
    contents = rows.contents(["a", "b", "c"])

    warehouse.put_contents(contents)
    warehouse.put_contents(contents)

    assert warehouse.read("contents").equals(contents.sort_by("content_id"))


def test_a_content_that_is_put_again_is_replaced(warehouse: PostgresWarehouse) -> None:
    warehouse.put_contents(rows.contents(["a"]))

    warehouse.put_contents(rows.contents(["a"]).set_column(2, CONTENT_SCHEMA.field("title"), pa.array(["New"])))

    assert warehouse.read("contents").column("title").to_pylist() == ["New"]


def test_users_keep_their_cohort_and_their_earliest_creation(warehouse: PostgresWarehouse) -> None:
    warehouse.put_users(rows.users(["a", "b"], cohort="physics-2026"))
    warehouse.put_users(rows.users(["a"], cohort=None, created=rows.START + timedelta(days=1)))

    users = warehouse.read("users")

    assert users.drop_columns(["opted_out"]).equals(rows.users(["a", "b"]).sort_by("user_id"))
    assert users.schema.names == [*USER_SCHEMA.names, "opted_out"]
    assert users.column("opted_out").to_pylist() == [False, False]


def test_an_empty_store_reads_as_empty_tables(warehouse: PostgresWarehouse) -> None:
    assert warehouse.read("contents").equals(CONTENT_SCHEMA.empty_table())
    assert len(warehouse.read("users")) == 0


def test_only_users_and_contents_can_be_read(warehouse: PostgresWarehouse) -> None:
    with pytest.raises(InvalidInput, match="users, contents"):
        warehouse.read("events")


def test_events_are_stored_once_however_often_they_are_put(warehouse: PostgresWarehouse, clean_postgres: str) -> None:
    events = rows.events(["a"] * 100, ["x"] * 100)

    assert warehouse.put_events(events) == 100
    assert warehouse.put_events(pa.concat_tables([events, events])) == 0

    assert ask(clean_postgres, "SELECT count(*), count(DISTINCT event_id) FROM events") == [(100, 100)]


def test_an_event_id_that_comes_with_another_time_is_the_same_event(warehouse: PostgresWarehouse) -> None:
    events = rows.events(["a"], ["x"])
    later = events.set_column(
        5, events.schema.field("ts"), rows.events(["a"], ["x"], start=rows.START + timedelta(days=40)).column("ts")
    )

    warehouse.put_events(events)
    found = warehouse.new_events(later)

    assert (len(found.known), len(found.unknown_content)) == (0, 0)


def test_events_of_any_year_find_a_partition_of_their_month(warehouse: PostgresWarehouse, clean_postgres: str) -> None:
    moments = [
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2000, 1, 1, tzinfo=UTC),
        datetime(2026, 2, 28, 12, tzinfo=UTC),
    ]
    for moment in moments:
        warehouse.put_events(rows.events(["a"], ["x"], start=moment))

    found = ask(clean_postgres, "SELECT tableoid::regclass::text FROM events ORDER BY ts")

    assert found == [("events_y1999m12",), ("events_y2000m01",), ("events_y2026m02",)]


def test_writers_that_need_the_same_new_month_do_not_fall_over_each_other(clean_postgres: str) -> None:
    stored: list[int] = []

    def put(number: int) -> None:
        with PostgresWarehouse(clean_postgres) as warehouse:
            ready.wait(timeout=20)
            stored.append(warehouse.put_events(rows.events([f"user {number}"] * 50, ["x"] * 50)))

    ready = threading.Barrier(4)
    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)

    assert stored == [50] * 4


def test_new_events_are_told_by_content_in_order_and_without_repeats(warehouse: PostgresWarehouse) -> None:
    warehouse.put_contents(rows.contents(["x", "y"]))
    old, new = rows.events(["a"] * 2, ["x", "y"]), rows.events(["b"] * 4, ["y", "z", "x", "z"])
    warehouse.put_events(old)

    found = warehouse.new_events(pa.concat_tables([new, old, new]))

    assert found.known.equals(new.take([0, 2]))
    assert found.unknown_content.equals(new.take([1, 3]))


def test_a_learner_not_seen_before_gets_a_row_and_a_known_one_becomes_active(
    warehouse: PostgresWarehouse, clean_postgres: str
) -> None:
    warehouse.put_users(rows.users(["known"], created=rows.START + timedelta(days=30)))

    warehouse.put_events(rows.events(["known", "new", "known"], ["x"] * 3))

    found = ask(
        clean_postgres, "SELECT external_id, cohort_tag, created_at, last_active_at FROM users ORDER BY created_at"
    )
    assert found == [
        ("known", "physics-2026", rows.START, rows.START + timedelta(minutes=2)),
        (rows.ids(["new"])[0], None, rows.START + timedelta(minutes=1), rows.START + timedelta(minutes=1)),
    ]


def test_rows_that_break_the_schema_are_invalid_and_leave_nothing(
    warehouse: PostgresWarehouse, clean_postgres: str
) -> None:
    bad = rows.contents(["a", "b"]).set_column(3, CONTENT_SCHEMA.field("type"), pa.array(["video", "podcast"]))

    with pytest.raises(InvalidInput, match="contents_type_check"):
        warehouse.put_contents(bad)

    assert ask(clean_postgres, "SELECT count(*) FROM contents") == [(0,)]


def test_only_one_process_is_inside_an_exclusive_name(warehouse: PostgresWarehouse, clean_postgres: str) -> None:
    with PostgresWarehouse(clean_postgres) as other:
        with warehouse.exclusive("job"):
            with pytest.raises(Conflict, match="job is running already"), other.exclusive("job"):
                pass
            with other.exclusive("another job"):
                pass
        with other.exclusive("job"):
            pass


def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="postgresql"):
        PostgresWarehouse("postgresql://nobody@127.0.0.1:1/none", timeout_s=1)
    with pytest.raises(Unavailable, match="postgresql"):
        migrate("postgresql://nobody@127.0.0.1:1/none")


def test_a_connection_that_dies_is_unavailable(warehouse: PostgresWarehouse, clean_postgres: str) -> None:
    ask(clean_postgres, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'learnrec'")

    with pytest.raises(Unavailable, match="postgresql"):
        warehouse.put_events(rows.events(["a"], ["x"]))


def test_migrating_again_or_at_once_changes_nothing(empty_postgres: str) -> None:
    threads = [threading.Thread(target=migrate, args=(empty_postgres,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    migrate(empty_postgres)

    assert ask(empty_postgres, "SELECT version_num FROM alembic_version") == [("0003",)]
    assert ask(empty_postgres, "SELECT count(*) FROM users") == [(0,)]
