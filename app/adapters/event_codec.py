"""Events as the log carries them: one JSON object each, version 1, the same in every log.

`{"v": 1, "event_id", "user_id", "content_id", "event_type", "value": number or null, "ts_us": Unix microseconds}`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json as pj

from app.domain.checks import event_faults
from app.domain.events import EVENT_SCHEMA

VERSION = 1
_TEXTS = ("event_id", "user_id", "content_id", "event_type")
_MOST_US = 2**62
_REQUIRED = (*_TEXTS, "ts_us")
_BEGINNING = b'{"v":%d,"event_id":"' % VERSION
_AS_WRITTEN = pj.ParseOptions(
    explicit_schema=pa.schema(
        [*((name, pa.string()) for name in _TEXTS), ("value", pa.float64()), ("ts_us", pa.int64())]
    ),
    unexpected_field_behavior="ignore",
)
_Fields = tuple[str, str, str, str, float | None, int]


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a batch of entries said."""

    events: pa.Table  # EVENT_SCHEMA
    rows: tuple[int, ...]  # entry of each event
    bad: tuple[tuple[int, str], ...]  # entry and reason


def encode_events(events: pa.Table) -> list[bytes]:
    """One entry for each row of EVENT_SCHEMA."""
    columns = [events.column(name).to_pylist() for name in (*_TEXTS, "value")]
    moments = events.column("ts").cast(pa.int64()).to_pylist()
    return [
        orjson.dumps(
            {
                "v": VERSION,
                "event_id": event_id,
                "user_id": user_id,
                "content_id": content_id,
                "event_type": event_type,
                "value": value,
                "ts_us": ts_us,
            }
        )
        for event_id, user_id, content_id, event_type, value, ts_us in zip(*columns, moments, strict=True)
    ]


def decode_events(entries: Sequence[bytes], *, now: datetime) -> Decoded:
    """The events among `entries`; an entry that is none goes to `bad` and costs no other."""
    bad: list[tuple[int, str]] = []
    table, rows = _all_as_written(entries), np.arange(len(entries))
    if table is None:
        read = [_read(entry) for entry in entries]
        rows = np.array([i for i, fields in enumerate(read) if not isinstance(fields, str)], np.int64)
        bad = [(i, reason) for i, reason in enumerate(read) if isinstance(reason, str)]
        table = _table([fields for fields in read if not isinstance(fields, str)])
    faults = event_faults(table, now=now)
    if faults.null_count() < len(faults):
        fine = faults.is_null().to_numpy()
        reasons = faults.drop_nulls().to_list()
        bad = sorted(bad + list(zip(rows[~fine].tolist(), reasons, strict=True)))
        table, rows = table.filter(pa.array(fine)), rows[fine]
    return Decoded(table, tuple(rows.tolist()), tuple(bad))


def _all_as_written(entries: Sequence[bytes]) -> pa.Table | None:
    """All entries at once, a quarter of the cost of one by one; None where one of them is not as we write it."""
    joined = b"\n".join(entries)
    if joined.count(b"\n") != len(entries) - 1 or not all(entry.startswith(_BEGINNING) for entry in entries):
        return None
    try:
        read = pj.read_json(pa.BufferReader(joined), parse_options=_AS_WRITTEN)
        read.validate(full=True)  # UTF-8, too
    except pa.ArrowInvalid:
        return None
    if len(read) != len(entries) or any(read[name].null_count for name in _REQUIRED):
        return None
    moments, values = read["ts_us"].to_numpy(), read["value"].drop_null().to_numpy()
    if not (np.abs(moments.astype(np.float64)) < _MOST_US).all() or not np.isfinite(values).all():  # Arrow reads NaN
        return None
    columns = [read[name] for name in (*_TEXTS, "value")]
    return pa.table([*columns, read["ts_us"].cast(EVENT_SCHEMA.field("ts").type)], schema=EVENT_SCHEMA).combine_chunks()


def _read(entry: bytes) -> _Fields | str:
    """The fields in the order of EVENT_SCHEMA, or why there are none."""
    try:
        said: Any = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return "no JSON"
    if type(said) is not dict:
        return "no JSON object"
    if said.get("v") != VERSION:
        return f"schema version {str(said.get('v'))[:20]}, not {VERSION}"
    texts = [said.get(name) for name in _TEXTS]
    for name, text in zip(_TEXTS, texts, strict=True):
        if type(text) is not str:
            return f"missing {name}"
    value, ts_us = said.get("value"), said.get("ts_us")
    if type(ts_us) is not int or not -_MOST_US < ts_us < _MOST_US:
        return "bad ts"
    if value is not None and type(value) not in (int, float):
        return "value is no number"
    return (*texts, None if value is None else float(value), ts_us)  # type: ignore[return-value]  # four texts


def _table(rows: list[_Fields]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(EVENT_SCHEMA)
    return pa.table(
        [
            pa.array(column, pa.int64()).cast(field.type) if field.name == "ts" else pa.array(column, field.type)
            for field, column in zip(EVENT_SCHEMA, columns, strict=True)
        ],
        schema=EVENT_SCHEMA,
    )
