"""A block of a file's rows → the good ones as tables of the domain, the bad ones as (line, reason, raw)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl
import pyarrow as pa

from app.domain.checks import content_faults, event_faults, user_faults
from app.domain.contents import CONTENT_SCHEMA, USER_SCHEMA
from app.domain.events import EVENT_SCHEMA, event_ids
from jobs.imports import columns
from jobs.imports.mapping import ContentRows, EventRows, Field, Rows, UserRows
from jobs.imports.reading import Block

_UTC = pl.Datetime("us", "UTC")


@dataclass(slots=True)
class Sieve:
    """Rows of a block that are good so far; the column `row` is their place in the block."""

    block: Block
    frame: pl.DataFrame
    bad: list[tuple[int, str, str]] = field(default_factory=list)

    def drop(self, faults: pl.Series) -> None:
        """Set aside the rows that have a fault."""
        if faults.null_count() == len(faults):
            return
        rows: list[int] = self.frame.filter(faults.is_not_null())["row"].to_list()
        reasons: list[str] = faults.drop_nulls().to_list()
        self.bad += [(self.block.lines[r], reason, self.block.raws[r]) for r, reason in zip(rows, reasons, strict=True)]
        self.frame = self.frame.filter(faults.is_null())

    def drop_where(self, condition: pl.Expr, reason: str) -> None:
        self.drop(self.frame.select(pl.when(condition).then(pl.lit(reason)).alias("fault")).to_series())

    def add_ids(self, name: str, source: Field) -> None:
        """A column of canonical ids; rows that have none are set aside."""
        known, faults = columns.ids(self.frame, source, name=name)
        self.frame = self.frame.with_columns(known.alias(f"_{name}"))
        self.drop(faults)


def sieve(block: Block) -> Sieve:
    bad = [(broken.line, broken.reason, broken.raw) for broken in block.broken]
    return Sieve(block, block.frame.with_row_index("row"), bad)


@dataclass(frozen=True, slots=True)
class Good:
    """What a block gave."""

    table: pa.Table  # USER_SCHEMA, CONTENT_SCHEMA or EVENT_SCHEMA
    rows: list[int]  # place in the block of each row of `table`
    also: pa.Table | None = None  # EVENT_SCHEMA: further events of the same rows


def users_of(rows: UserRows, found: Sieve, now: datetime) -> Good:
    found.add_ids("user_id", rows.user_id)
    created = columns.times(rows.created_at) if rows.created_at else pl.lit(now).cast(_UTC)
    return _checked(
        found,
        USER_SCHEMA,
        {"external_id": columns.text(rows.user_id), "cohort_tag": columns.text(rows.cohort_tag), "created_at": created},
        lambda table: user_faults(table, now=now),
    )


def contents_of(rows: ContentRows, found: Sieve, now: datetime) -> Good:
    found.add_ids("content_id", rows.content_id)
    difficulty = columns.numbers(rows.difficulty)
    whole = difficulty.cast(pl.Int8, strict=False)
    found.drop_where(
        columns.is_no_number(rows.difficulty) | (difficulty.is_not_null() & whole.is_null()) | (difficulty != whole),
        "difficulty is no whole number",
    )
    return _checked(
        found,
        CONTENT_SCHEMA,
        {
            "external_id": columns.text(rows.content_id),
            "title": columns.text(rows.title).str.strip_chars(),
            "type": columns.text(rows.type),
            "tags": columns.tags(rows.tags),
            "difficulty": whole,
            "created_at": columns.times(rows.created_at),
        },
        lambda table: content_faults(table, now=now),
    )


def events_of(rows: EventRows, found: Sieve, now: datetime) -> Good:
    found.add_ids("user_id", rows.user_id)
    found.add_ids("content_id", rows.content_id)
    if rows.event_id:
        given = columns.text(rows.event_id)
        found.frame = found.frame.with_columns(given.is_not_null().alias("_has_id"))
        known, faults = columns.ids(found.frame, rows.event_id, name="event_id")
        found.frame = found.frame.with_columns(known.alias("_event_id"))
        found.drop(pl.select(pl.when(found.frame["_has_id"]).then(faults).alias("fault")).to_series())
    found.drop_where(columns.is_no_number(rows.value), "value is no number")
    found.frame = found.frame.with_columns(columns.times(rows.ts).alias("_ts"))
    found.drop_where(pl.col("_ts").is_null(), "bad ts")
    found.frame = found.frame.with_columns(columns.text(rows.event_type).alias("_event_type"))
    found.frame = _with_event_ids(found.frame)
    good = _checked(found, EVENT_SCHEMA, {"value": columns.numbers(rows.value)}, lambda t: event_faults(t, now=now))
    further = [_also(found.frame, rule.column, rule.at_least, str(rule.event_type)) for rule in rows.also]
    return Good(good.table, good.rows, pa.concat_tables(further) if further else None)


def good_rows(rows: Rows, found: Sieve, *, now: datetime) -> Good:
    """The rows that can be taken; `found` has the others after that."""
    if isinstance(rows, UserRows):
        return users_of(rows, found, now)
    return contents_of(rows, found, now) if isinstance(rows, ContentRows) else events_of(rows, found, now)


def _checked(
    found: Sieve, schema: pa.Schema, values: dict[str, pl.Expr], faults: Callable[[pa.Table], pl.Series]
) -> Good:
    """Columns are computed beside the file's own, under a name with `_` in front that no mapping can meet."""
    found.frame = found.frame.with_columns(value.alias(f"_{name}") for name, value in values.items())
    found.drop(faults(_table(found.frame, schema)))
    return Good(_table(found.frame, schema), found.frame["row"].to_list())


def _table(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    return columns.typed(frame.select(pl.col(f"_{name}").alias(name) for name in schema.names), schema)


def _with_event_ids(frame: pl.DataFrame) -> pl.DataFrame:
    """Ids for the events that came without one."""
    ts = pa.array(frame["_ts"].to_arrow()).cast(pa.timestamp("us", tz="UTC"))
    made = event_ids(frame["_user_id"].to_list(), frame["_content_id"].to_list(), frame["_event_type"].to_list(), ts)
    ids = pl.Series("_event_id", made, pl.String)
    if "_event_id" in frame.columns:
        ids = pl.select(pl.coalesce([frame["_event_id"], ids]).alias("_event_id")).to_series()
    return frame.with_columns(ids)


def _also(frame: pl.DataFrame, column: str, at_least: float, event_type: str) -> pa.Table:
    reached = pl.col(column).str.strip_chars().cast(pl.Float64, strict=False) >= at_least
    chosen = frame.filter(reached).drop("_event_id")
    chosen = chosen.with_columns(
        pl.lit(event_type, pl.String).alias("_event_type"), pl.lit(None, pl.Float64).alias("_value")
    )
    return _table(_with_event_ids(chosen), EVENT_SCHEMA)
