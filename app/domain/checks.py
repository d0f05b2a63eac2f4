"""What makes a row acceptable, for whole tables: one reason a row, null where there is none to refuse it.

Import, ingest and the log's decoder ask here, so that a row is good or bad everywhere alike.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl
import pyarrow as pa

from app.domain.contents import CONTENT_TYPES, MAX_DIFFICULTY, MIN_DIFFICULTY
from app.domain.events import EVENT_TYPES, EventType

EARLIEST_EVENT = datetime(1990, 1, 1, tzinfo=UTC)
EARLIEST_CONTENT = datetime(1500, 1, 1, tzinfo=UTC)
CLOCK_TOLERANCE = timedelta(days=1)
"""How far ahead of us a clock elsewhere may be."""

MAX_WATCHED_S = 7 * 86_400.0
MAX_TITLE_LENGTH = 500
MAX_TAGS, MAX_TAG_LENGTH = 64, 100

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def event_faults(events: pa.Table, *, now: datetime) -> pl.Series:
    """Why each row of EVENT_SCHEMA's columns cannot be taken. `[n]` text."""
    latest = round((now + CLOCK_TOLERANCE).timestamp() * 1_000_000)
    out_of_range = ~_MICROSECONDS.is_between(
        _EARLIEST_MICROSECONDS, latest
    )  # moments as literals cost more than all else
    return _faults(events, pl.coalesce(_ID_AND_TYPE, _reason((out_of_range, "ts out of range")), _VALUE))


def content_faults(contents: pa.Table, *, now: datetime) -> pl.Series:
    """Why each row of CONTENT_SCHEMA's columns cannot be taken. `[n]` text."""
    title, difficulty, tags = pl.col("title"), pl.col("difficulty"), pl.col("tags")
    return first_faults(
        contents,
        (_not_canonical("content_id"), "bad content_id"),
        (title.is_null() | (title.str.strip_chars() == ""), "missing title"),
        (title.str.len_chars() > MAX_TITLE_LENGTH, "oversized title"),
        (_not_in("type", CONTENT_TYPES), "unknown type"),
        (~difficulty.is_between(MIN_DIFFICULTY, MAX_DIFFICULTY), "difficulty out of range"),
        (tags.list.len() > MAX_TAGS, "too many tags"),
        (tags.list.eval(pl.element().str.len_chars()).list.max() > MAX_TAG_LENGTH, "oversized tag"),
        (pl.col("created_at").is_null(), "bad created_at"),
        (_not_between("created_at", EARLIEST_CONTENT, now + CLOCK_TOLERANCE), "created_at out of range"),
    )


def user_faults(users: pa.Table, *, now: datetime) -> pl.Series:
    """Why each row of USER_SCHEMA's columns cannot be taken. `[n]` text."""
    return first_faults(
        users,
        (_not_canonical("user_id"), "bad user_id"),
        (pl.col("cohort_tag").str.len_chars() > MAX_TAG_LENGTH, "oversized cohort_tag"),
        (pl.col("created_at").is_null(), "bad created_at"),
        (_not_between("created_at", EARLIEST_EVENT, now + CLOCK_TOLERANCE), "created_at out of range"),
    )


def first_faults(table: pa.Table, *checks: tuple[pl.Expr, str]) -> pl.Series:
    """The reason of the first check that is true for a row (null counts as false), else null. `[n]` text."""
    return _faults(table, _reason(*checks))


def _faults(table: pa.Table, reason: pl.Expr) -> pl.Series:
    return cast(pl.DataFrame, pl.from_arrow(table)).select(reason.alias("fault")).to_series()


def _reason(*checks: tuple[pl.Expr, str]) -> pl.Expr:
    return pl.coalesce([pl.when(check).then(pl.lit(reason)) for check, reason in checks])


def _not_canonical(name: str) -> pl.Expr:
    return ~pl.col(name).fill_null("").str.contains(_UUID)


def _not_in(name: str, allowed: Sequence[str]) -> pl.Expr:
    return pl.col(name).is_null() | ~pl.col(name).is_in([str(one) for one in allowed])


def _not_between(name: str, first: datetime, last: datetime) -> pl.Expr:
    return ~pl.col(name).is_between(first, last)


_ID_AND_TYPE = _reason(
    *[(_not_canonical(name), f"bad {name}") for name in ("event_id", "user_id", "content_id")],
    (_not_in("event_type", EVENT_TYPES), "unknown event_type"),
    (pl.col("ts").is_null(), "bad ts"),
)
_MICROSECONDS, _EARLIEST_MICROSECONDS = pl.col("ts").to_physical(), round(EARLIEST_EVENT.timestamp() * 1_000_000)
_IS_QUIZ = pl.col("event_type") == EventType.QUIZ_SCORE.value
_MOST = pl.when(_IS_QUIZ).then(1.0).otherwise(MAX_WATCHED_S)
_VALUE = _reason(
    (_IS_QUIZ & pl.col("value").is_null(), "missing value"),
    (
        pl.col("event_type").is_in([EventType.COMPLETE.value, EventType.LIKE.value]) & pl.col("value").is_not_null(),
        "value without a meaning",
    ),
    (~pl.col("value").is_finite() | (pl.col("value") < 0) | (pl.col("value") > _MOST), "value out of range"),
)
"""An event's checks but for its time, made once: `POST /events` asks for every list, however short."""
