"""The log's entries: what is written can be read, version 1 stays readable, and bad entries cost no other."""

import json
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.adapters.event_codec import decode_events, encode_events
from app.domain.events import EVENT_SCHEMA
from tests import rows

GOLDEN = Path(__file__).with_name("golden") / "event-v1.json"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
VALUES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
CHANGES = st.dictionaries(st.sampled_from(["v", "event_id", "user_id", "event_type", "value", "ts_us", "more"]), VALUES)
CHANGED = CHANGES.map(lambda change: json.dumps(orjson.loads(GOLDEN.read_bytes()) | change).encode())
AS_WRITTEN = CHANGES.map(
    lambda change: json.dumps(orjson.loads(GOLDEN.read_bytes()) | change, separators=(",", ":")).encode()
)
ENTRIES = st.binary(max_size=50) | CHANGED | VALUES.map(lambda value: json.dumps(value).encode())


def test_events_come_back_as_they_were() -> None:
    events = pa.concat_tables([rows.events(["a"] * 50, ["x"] * 50), rows.events(["b"], ["y"], kind="complete")])

    decoded = decode_events(encode_events(events), now=NOW)

    assert decoded.events.equals(events)
    assert decoded.rows == tuple(range(51))
    assert decoded.bad == ()


def test_version_1_is_written_and_read_as_its_golden_file_says() -> None:
    golden = GOLDEN.read_bytes().strip()

    decoded = decode_events([golden], now=NOW)

    assert decoded.events.to_pylist() == [
        {
            "event_id": "0f2f5b1e-6a83-5d0e-9a3c-0b7d5f3a1c22",
            "user_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "content_id": "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
            "event_type": "quiz_score",
            "value": 0.75,
            "ts": datetime(2026, 3, 30, 22, 0, 0, 123456, tzinfo=UTC),
        }
    ]
    assert encode_events(decoded.events) == [golden]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "schema version 2, not 1"),
        ({"user_id": 7}, "missing user_id"),
        ({"ts_us": "today"}, "bad ts"),
        ({"ts_us": True}, "bad ts"),
        ({"ts_us": 10**30}, "no JSON"),
        ({"value": "much"}, "value is no number"),
        ({"value": 2.0}, "value out of range"),
        ({"content_id": "x"}, "bad content_id"),
    ],
)
def test_a_bad_entry_is_named_and_its_neighbours_are_read(change: dict[str, object], reason: str) -> None:
    good = GOLDEN.read_bytes()
    bad = orjson.dumps(orjson.loads(good) | change) if reason != "no JSON" else good[:40]

    decoded = decode_events([good, bad, good], now=NOW)

    assert decoded.rows == (0, 2)
    assert decoded.bad == ((1, reason),)


@settings(deadline=None)
@given(
    st.lists(AS_WRITTEN | st.sampled_from([b"", b'{"v":1,"event_id":"\\n"}', b'{"v":1,"event_id":"x"} {}']), max_size=5)
)
def test_all_at_once_and_one_by_one_read_the_same(entries: list[bytes]) -> None:
    at_once = decode_events(entries, now=NOW)
    one_by_one = decode_events([*entries, b"no event"], now=NOW)

    assert at_once.events.equals(one_by_one.events)
    assert (at_once.rows, at_once.bad) == (one_by_one.rows, one_by_one.bad[:-1])


@settings(deadline=None)
@given(st.lists(ENTRIES, max_size=10))
def test_no_entry_whatever_breaks_a_batch(entries: list[bytes]) -> None:
    decoded = decode_events(entries, now=NOW)

    assert decoded.events.schema.equals(EVENT_SCHEMA)
    assert sorted([*decoded.rows, *(row for row, _ in decoded.bad)]) == list(range(len(entries)))
