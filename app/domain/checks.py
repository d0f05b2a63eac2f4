"""What makes a row acceptable, for whole tables: one reason a row, null where there is none to refuse it.

Import, ingest and the log's decoder ask here, so that a row is good or bad everywhere alike.
"""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from app.domain.contents import CONTENT_TYPES, MAX_DIFFICULTY, MIN_DIFFICULTY
from app.domain.events import EVENT_TYPES, EventType

EARLIEST_EVENT = datetime(1990, 1, 1, tzinfo=UTC)
EARLIEST_CONTENT = datetime(1500, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(days=1)
"""How far ahead of us a clock elsewhere may be."""

MAX_WATCHED_S = 7 * 86_400.0
MAX_TITLE_LENGTH = 500
MAX_TAGS, MAX_TAG_LENGTH = 64, 100

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def event_faults(events: pa.Table, *, now: datetime) -> pa.Array:
    """Why each row of EVENT_SCHEMA's columns cannot be taken."""
    kind, value = _column(events, "event_type"), _column(events, "value")
    is_quiz = pc.equal(kind, EventType.QUIZ_SCORE.value)
    most = pc.if_else(pc.fill_null(is_quiz, False), 1.0, MAX_WATCHED_S)
    outside = pc.or_(pc.invert(pc.is_finite(value)), pc.or_(pc.less(value, 0.0), pc.greater(value, most)))
    carries_value = pc.or_(is_quiz, pc.equal(kind, EventType.VIEW.value))
    faults = first_faults(
        len(events),
        *[(_not_canonical(_column(events, name)), f"bad {name}") for name in ("event_id", "user_id", "content_id")],
        (_not_in(kind, EVENT_TYPES), "unknown event_type"),
        (pc.is_null(_column(events, "ts")), "bad ts"),
        (_not_between(_column(events, "ts"), EARLIEST_EVENT, now + CLOCK_TOLERANCE), "ts out of range"),
        (pc.and_(is_quiz, pc.is_null(value)), "missing value"),
        (pc.and_(pc.invert(carries_value), pc.is_valid(value)), "value without a meaning"),
        (outside, "value out of range"),
    )
    return faults


def content_faults(contents: pa.Table, *, now: datetime) -> pa.Array:
    """Why each row of CONTENT_SCHEMA's columns cannot be taken."""
    title, difficulty, tags = (_column(contents, name) for name in ("title", "difficulty", "tags"))
    return first_faults(
        len(contents),
        (_not_canonical(_column(contents, "content_id")), "bad content_id"),
        (pc.fill_null(pc.equal(pc.utf8_trim_whitespace(title), ""), True), "missing title"),
        (pc.greater(pc.utf8_length(title), MAX_TITLE_LENGTH), "oversized title"),
        (_not_in(_column(contents, "type"), CONTENT_TYPES), "unknown type"),
        (
            pc.or_(pc.less(difficulty, MIN_DIFFICULTY), pc.greater(difficulty, MAX_DIFFICULTY)),
            "difficulty out of range",
        ),
        (pc.greater(pc.list_value_length(tags), MAX_TAGS), "too many tags"),
        (_longest(tags, MAX_TAG_LENGTH), "oversized tag"),
        (pc.is_null(_column(contents, "created_at")), "bad created_at"),
        (
            _not_between(_column(contents, "created_at"), EARLIEST_CONTENT, now + CLOCK_TOLERANCE),
            "created_at out of range",
        ),
    )


def user_faults(users: pa.Table, *, now: datetime) -> pa.Array:
    """Why each row of USER_SCHEMA's columns cannot be taken."""
    return first_faults(
        len(users),
        (_not_canonical(_column(users, "user_id")), "bad user_id"),
        (pc.greater(pc.utf8_length(_column(users, "cohort_tag")), MAX_TAG_LENGTH), "oversized cohort_tag"),
        (pc.is_null(_column(users, "created_at")), "bad created_at"),
        (_not_between(_column(users, "created_at"), EARLIEST_EVENT, now + CLOCK_TOLERANCE), "created_at out of range"),
    )


def first_faults(num_rows: int, *checks: tuple[pa.Array, str]) -> pa.Array:
    """The reason of the first check that is true for a row (null counts as false), else null."""
    if not num_rows:
        return pa.array([], pa.string())
    masks = [pc.fill_null(mask, False) for mask, _ in checks]
    return pc.case_when(
        pc.make_struct(*masks, field_names=[str(i) for i in range(len(masks))]),
        *[pa.scalar(reason, pa.string()) for _, reason in checks],
        pa.nulls(num_rows, pa.string()),
    )


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    return column if isinstance(column, pa.Array) else pa.array([], table.schema.field(name).type)


def _not_canonical(ids: pa.Array) -> pa.Array:
    return pc.fill_null(pc.invert(pc.match_substring_regex(ids, UUID_PATTERN)), True)


def _not_in(column: pa.Array, allowed: tuple[str, ...]) -> pa.Array:
    return pc.invert(pc.is_in(column, value_set=pa.array([str(a) for a in allowed], pa.string())))


def _not_between(times: pa.Array, first: datetime, last: datetime) -> pa.Array:
    kind = pa.timestamp("us", tz="UTC")
    return pc.or_(pc.less(times, pa.scalar(first, kind)), pc.greater(times, pa.scalar(last, kind)))


def _longest(lists: pa.Array, limit: int) -> pa.Array:
    """Rows with a string longer than `limit`."""
    too_long = pc.greater(pc.utf8_length(pc.list_flatten(lists)), limit)
    rows = pc.filter(pc.list_parent_indices(lists), pc.fill_null(too_long, True))
    return pc.is_in(pa.array(range(len(lists)), pa.int64()), value_set=rows.cast(pa.int64()))
