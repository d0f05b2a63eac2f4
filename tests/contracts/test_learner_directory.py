"""What serving asks of PostgreSQL, for a batch of learners in one statement."""

from datetime import timedelta

import psycopg
import pytest

from app.adapters.postgres.directory import PostgresLearnerDirectory
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.errors import Unavailable
from tests import rows


@pytest.fixture
def url(clean_postgres: str) -> str:
    """Learner a studied over two months, b has only a row, c opted out."""
    with PostgresWarehouse(clean_postgres) as warehouse:
        warehouse.put_users(rows.users(["a", "b", "c"]))
        warehouse.put_events(rows.events(["a"] * 4, ["v", "w", "x", "y"], step_s=86_400))
        warehouse.put_events(
            rows.events(["a"] * 2, ["v", "w"], kind="complete", start=rows.START - timedelta(days=400))
        )
    with psycopg.connect(clean_postgres) as connection:
        connection.execute("UPDATE users SET opted_out_at = now() WHERE external_id = 'c'")
    return clean_postgres


async def test_a_batch_is_answered_in_the_order_asked(url: str) -> None:
    async with PostgresLearnerDirectory(url) as directory:
        found = await directory.learners(rows.ids(["nobody", "c", "a", "b", "a"]), window=64)

    assert found.known.tolist() == [False, True, True, True, True]
    assert found.opted_out.tolist() == [False, True, False, False, False]
    assert found.cohort == (None, "physics-2026", "physics-2026", "physics-2026", "physics-2026")
    assert [len(one) for one in found.contents] == [0, 0, 6, 0, 6]


async def test_events_come_most_recent_first_across_partitions_and_within_the_window(url: str) -> None:
    async with PostgresLearnerDirectory(url) as directory:
        found = await directory.learners(rows.ids(["a"]), window=5)

    start = int(rows.START.timestamp())
    assert list(found.contents[0]) == rows.ids(["y", "x", "w", "v", "w"])
    assert list(found.event_types[0]) == ["view"] * 4 + ["complete"]
    assert list(found.ts[0]) == [
        start + 3 * 86_400,
        start + 2 * 86_400,
        start + 86_400,
        start,
        start - 400 * 86_400 + 60,
    ]


async def test_what_was_ever_completed_is_known_beyond_the_window_and_the_partitions(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE events_y2025m02")

    async with PostgresLearnerDirectory(url) as directory:
        found = await directory.learners(rows.ids(["a", "b"]), window=1)

    assert sorted(found.completed[0]) == sorted(rows.ids(["v", "w"]))
    assert list(found.completed[1]) == []


async def test_an_empty_batch_is_an_empty_answer(url: str) -> None:
    async with PostgresLearnerDirectory(url) as directory:
        found = await directory.learners([], window=64)

    assert found.known.shape == (0,)
    assert found.contents == ()


async def test_a_directory_opens_while_the_server_is_away_and_says_so_when_asked() -> None:
    async with PostgresLearnerDirectory("postgresql://nobody@127.0.0.1:1/none", timeout_s=0.5) as directory:
        with pytest.raises(Unavailable, match="postgresql"):
            await directory.ping()
        with pytest.raises(Unavailable, match="postgresql"):
            await directory.learners(rows.ids(["a"]), window=64)


async def test_a_directory_heals_when_its_connections_were_cut(url: str) -> None:
    async with PostgresLearnerDirectory(url) as directory:
        await directory.ping()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'learnrec-serving'"
            )

        await directory.ping()
        assert (await directory.learners(rows.ids(["a"]), window=64)).known.tolist() == [True]
