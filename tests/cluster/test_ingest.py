"""Events that are taken in are in Parquet by day and in PostgreSQL, once; what cannot be is set aside."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from app.adapters import logs
from app.adapters.event_codec import encode_events
from app.adapters.parquet import read_tables
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.errors import Conflict, Unavailable
from jobs.event_files import EVENTS
from jobs.ingest_events import Spec, run
from tests import rows
from tests.cluster.ingesting import CONTENTS, Stack, many, once, stack_with


@pytest.fixture(params=["redis", "kafka"])
def stack(request: pytest.FixtureRequest, clean_postgres: str, tmp_path: Path) -> Stack:
    return stack_with(request.param, request, clean_postgres, tmp_path)


def test_events_lie_by_day_of_event_time_and_in_postgresql(stack: Stack) -> None:
    events = many(200)
    stack.append(events)

    result = run(Spec(), stack.settings)

    assert result.metrics["events_stored"] == 200
    assert stack.in_parquet() == stack.in_postgres() == once(events)
    for name in stack.store.files(EVENTS):
        year, month, day, _ = name.split("/")
        found = read_tables(stack.store, [f"{EVENTS}/{name}"])
        assert found.schema.equals(events.schema)
        assert {f"year={ts:%Y}/month={ts:%m}/day={ts:%d}" for ts in found.column("ts").to_pylist()} == {
            f"{year}/{month}/{day}"
        }


def test_an_empty_log_is_nothing_to_do(stack: Stack) -> None:
    assert run(Spec(), stack.settings).metrics["entries"] == 0


def test_repeats_in_the_log_are_stored_once(stack: Stack) -> None:
    events = many(50)
    stack.append(pa.concat_tables([events, events]))
    run(Spec(batch_size=30 if stack.settings.redis_url else 100), stack.settings)
    stack.append(events)

    metrics = run(Spec(), stack.settings).metrics

    assert (metrics["events_stored"], metrics["events_repeated"]) == (0, 50)
    assert stack.in_parquet() == stack.in_postgres() == once(events)


def test_bad_entries_and_unknown_contents_are_set_aside_with_the_reason(stack: Stack) -> None:
    good, lost = many(5), rows.events(["a"], ["never heard of"])
    stack.append(pa.concat_tables([good.slice(0, 3), lost, good.slice(3)]))
    with logs.event_entries(stack.settings) as entries:
        entries.append([b"poison"], keys=[""])

    metrics = run(Spec(), stack.settings).metrics

    assert stack.in_parquet() == stack.in_postgres() == once(good)
    assert (metrics["rejected: unknown content_id"], metrics["rejected: no JSON"]) == (1, 1)
    aside = {letter.reason: letter.value for letter in stack.dead()}
    assert aside == {"unknown content_id": encode_events(lost)[0], "no JSON": b"poison"}


def test_dead_letters_are_tried_again_when_told_to(stack: Stack) -> None:
    early = rows.events(["a", "b"], ["later", "never"])
    stack.append(early)
    run(Spec(), stack.settings)
    assert stack.in_postgres() == Counter()
    stack.know(["later"])

    assert stack.retry() == 2
    assert run(Spec(), stack.settings).metrics["events_stored"] == 1

    assert stack.in_parquet() == stack.in_postgres() == once(early.slice(0, 1))
    assert [letter.value for letter in stack.dead()] == encode_events(early.slice(1))


def test_a_new_learner_becomes_known(stack: Stack) -> None:
    stack.append(rows.events(["newcomer"], [CONTENTS[0]]))

    run(Spec(), stack.settings)

    with PostgresWarehouse(stack.postgres_url) as warehouse:
        assert warehouse.read("users").column("user_id").to_pylist() == rows.ids(["newcomer"])


def test_two_runs_at_once_do_not_mix(stack: Stack) -> None:
    with (
        PostgresWarehouse(stack.postgres_url) as other,
        other.exclusive("ingest_events"),
        pytest.raises(Conflict, match="running already"),
    ):
        run(Spec(), stack.settings)


def test_stores_that_are_away_are_named(stack: Stack) -> None:
    nobody = {"redis_url": "redis://127.0.0.1:1/0"} if stack.settings.redis_url else {"kafka_servers": "127.0.0.1:1"}
    away = stack.settings.model_copy(update=nobody)

    with pytest.raises(Unavailable, match="event log"):
        run(Spec(), away)
