"""Old months leave PostgreSQL, and nothing of them is lost."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from app.adapters.postgres.months import PostgresMonths
from app.adapters.postgres.warehouse import PostgresWarehouse
from jobs.ingest_events import Spec as IngestSpec
from jobs.ingest_events import run as ingest
from jobs.retention import Spec, run
from tests import rows
from tests.cluster.ingesting import CONTENTS, Stack, once, stack_with

NOW = datetime.now(UTC)
OLD = (NOW - timedelta(days=200)).replace(day=15, hour=12)


@pytest.fixture
def stack(request: pytest.FixtureRequest, clean_postgres: str, tmp_path: Path) -> Stack:
    return stack_with("redis", request, clean_postgres, tmp_path)


def months(stack: Stack) -> tuple[date, ...]:
    with PostgresMonths(stack.postgres_url) as found:
        return found.months()


def completions(stack: Stack) -> int:
    with psycopg.connect(stack.postgres_url) as connection:
        row = connection.execute("SELECT count(*) FROM completions").fetchone()
    return int(row[0]) if row else -1


def test_an_old_month_leaves_postgresql_whole_and_parquet_has_all_of_it(stack: Stack) -> None:
    old = rows.events(["a"] * 4, CONTENTS[:4], start=OLD, kind="complete")
    new = rows.events(["a"] * 4, CONTENTS[:4], start=NOW - timedelta(days=2))
    unseen = rows.events(["b"] * 3, CONTENTS[:3], start=OLD)  # in PostgreSQL alone
    stack.append(pa.concat_tables([old, new]))
    ingest(IngestSpec(), stack.settings)
    with PostgresWarehouse(stack.postgres_url) as warehouse:
        warehouse.put_events(unseen)

    planned = run(Spec(dry_run=True), stack.settings).metrics
    assert stack.in_postgres() == once(pa.concat_tables([old, new, unseen]))
    done = run(Spec(), stack.settings).metrics

    assert planned["months_dropped"] == done["months_dropped"] == 1
    assert done["events_added_to_parquet"] == 3
    assert stack.in_postgres() == once(new)
    assert stack.in_parquet() == once(pa.concat_tables([old, new, unseen]))
    assert completions(stack) == 4, "what was completed is never recommended again"


def test_doing_it_again_changes_nothing_and_months_are_made_ahead(stack: Stack) -> None:
    stack.append(rows.events(["a"] * 4, CONTENTS[:4], start=OLD))
    ingest(IngestSpec(), stack.settings)
    run(Spec(), stack.settings)
    before = months(stack)

    again = run(Spec(), stack.settings).metrics

    this = NOW.date().replace(day=1)
    assert before == months(stack) == (this, (this + timedelta(days=32)).replace(day=1))
    assert Counter(again.values()) == Counter({0.0: 3})


def test_a_question_about_a_month_reads_that_month_only(stack: Stack) -> None:
    for ago in (100, 60, 20):
        with PostgresWarehouse(stack.postgres_url) as warehouse:
            warehouse.put_events(rows.events(["a"], CONTENTS[:1], start=NOW - timedelta(days=ago)))
    (first, *_, last) = months(stack)

    with psycopg.connect(stack.postgres_url) as connection:
        plan = connection.execute(
            "EXPLAIN SELECT count(*) FROM events WHERE ts >= %s AND ts < %s", [last, last + timedelta(days=31)]
        ).fetchall()

    told = "\n".join(line for (line,) in plan)
    assert f"events_y{last:%Ym%m}" in told
    assert f"events_y{first:%Ym%m}" not in told
