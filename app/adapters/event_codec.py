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

from app.domain.checks import event_faults
from app.domain.events import EVENT_SCHEMA

VERSION = 1
_TEXTS = ("event_id", "user_id", "content_id", "event_type")
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
    if type(ts_us) is not int or not -(2**62) < ts_us < 2**62:
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
