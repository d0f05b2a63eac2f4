"""Ids and checks for whole tables agree with those for one row."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.checks import CLOCK_TOLERANCE, EARLIEST_EVENT, content_faults, event_faults, user_faults
from app.domain.events import EVENT_TYPES, event_id_of, event_ids
from app.domain.ids import canonical_id, canonical_ids
from app.errors import InvalidInput
from tests import rows

NOW = rows.START + timedelta(days=1)
MOMENTS = st.integers(0, 4_000_000_000_000_000).map(lambda micros: EARLIEST_EVENT + timedelta(microseconds=micros))
EVENTS = st.lists(
    st.tuples(st.uuids().map(str), st.uuids().map(str), st.sampled_from(EVENT_TYPES), MOMENTS), max_size=20
)


@settings(deadline=None)
@given(EVENTS)
def test_event_ids_in_bulk_are_those_of_single_events(said: list[tuple[str, str, str, datetime]]) -> None:
    users, contents, kinds = [row[0] for row in said], [row[1] for row in said], [row[2] for row in said]
    moments = [row[3] for row in said]

    made = event_ids(users, contents, kinds, pa.array(moments, pa.timestamp("us", tz="UTC")))

    assert made == [event_id_of(*row) for row in said]
    assert all(UUID(one).version == 5 for one in made)


def test_an_event_has_the_same_id_in_every_time_zone() -> None:
    from zoneinfo import ZoneInfo

    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert event_id_of("u", "c", "view", moment) == event_id_of(
        "u", "c", "view", moment.astimezone(ZoneInfo("Asia/Tokyo"))
    )


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=70), st.uuids().map(str), st.just("x" * 65)), max_size=30))
def test_ids_in_bulk_are_those_of_single_ids(outside: list[str]) -> None:
    known, faults = canonical_ids(outside, name="user_id")

    for text, found, fault in zip(outside, known, faults, strict=True):
        if found is None:
            assert fault in ("missing user_id", "oversized user_id", "unprintable user_id")
            with pytest.raises(InvalidInput):
                canonical_id(text)
        else:
            assert fault is None
            assert found == canonical_id(text)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("event_id", "no uuid", "bad event_id"),
        ("user_id", None, "bad user_id"),
        ("content_id", "6BA7B811-9DAD-11D1-80B4-00C04FD430C8", "bad content_id"),
        ("event_type", "watched", "unknown event_type"),
        ("event_type", None, "unknown event_type"),
        ("value", -0.1, "value out of range"),
        ("value", float("nan"), "value out of range"),
        ("value", 1e9, "value out of range"),
        ("event_type", "like", "value without a meaning"),
        ("ts", None, "bad ts"),
        ("ts", EARLIEST_EVENT - timedelta(seconds=1), "ts out of range"),
        ("ts", NOW + CLOCK_TOLERANCE + timedelta(seconds=1), "ts out of range"),
    ],
)
def test_each_fault_of_an_event_is_named_and_spares_its_neighbours(column: str, value: object, reason: str) -> None:
    table = rows.events(["a", "b", "c"], ["x", "y", "z"])
    spoilt = table.column(column).to_pylist()
    spoilt[1] = value
    kind = table.schema.field(column).type
    table = table.set_column(table.schema.get_field_index(column), column, pa.array(spoilt, kind))

    assert event_faults(table, now=NOW).to_list() == [None, reason, None]


def test_a_quiz_score_lies_between_0_and_1_and_is_never_missing() -> None:
    table = rows.events(["a", "b", "c"], ["x", "y", "z"], kind="quiz_score")
    table = table.set_column(4, "value", pa.array([1.0, 1.01, None], pa.float64()))

    assert event_faults(table, now=NOW).to_list() == [None, "value out of range", "missing value"]


def test_contents_and_users_are_checked_too() -> None:
    contents = rows.contents(["a", "b", "c", "d"])
    contents = contents.set_column(2, "title", pa.array(["Fine", " ", "x" * 501, "Fine"]))
    contents = contents.set_column(5, "difficulty", pa.array([1, 2, 3, 6], pa.int8()))
    users = rows.users(["a", "b"]).set_column(2, "cohort_tag", pa.array([None, "x" * 101]))

    assert content_faults(contents, now=NOW).to_list() == [
        None,
        "missing title",
        "oversized title",
        "difficulty out of range",
    ]
    assert user_faults(users, now=NOW).to_list() == [None, "oversized cohort_tag"]


def test_a_long_tag_is_refused_wherever_it_stands() -> None:
    tags = pa.array([["fine"], [], ["fine", "x" * 101], ["a"] * 65])
    contents = rows.contents(["a", "b", "c", "d"]).set_column(4, "tags", tags)

    assert content_faults(contents, now=NOW).to_list() == [None, None, "oversized tag", "too many tags"]
