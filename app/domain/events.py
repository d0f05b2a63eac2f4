"""Events: what a learner did with a content, and when. Columnar wherever there are many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha1
from uuid import uuid5

import numpy as np
import pyarrow as pa

from app.domain.ids import NAMESPACE, uuid_texts


class EventType(StrEnum):
    VIEW = "view"
    COMPLETE = "complete"
    LIKE = "like"
    QUIZ_SCORE = "quiz_score"


EVENT_TYPES = tuple(EventType)
"""Position is the int8 code of a type in arrays."""

EVENT_STRENGTH = np.array([0.5, 1.0, 1.0, 1.0], np.float32)
"""Label of a type, by its code: how much it says that the learner wanted the content."""

SESSION_GAP_S = 30 * 60
"""A pause longer than this starts a new session."""

EVENT_SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("ts", pa.timestamp("us", tz="UTC"), nullable=False),
    ],
    metadata={"version": "1"},
)
"""Events in bulk: the log, Parquet, PostgreSQL and the jobs exchange Arrow tables of this schema."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `value`: seconds or share watched for view, 0..1 for quiz_score, else None."""

    event_id: str
    user_id: str
    content_id: str
    event_type: EventType
    value: float | None
    ts: datetime


def event_id_of(user_id: str, content_id: str, event_type: str, ts: datetime) -> str:
    """The id of an event that came without one: the same event gets the same id at every import."""
    return str(uuid5(NAMESPACE, f"{user_id}|{content_id}|{event_type}|{ts.astimezone(UTC).isoformat()}"))


def event_ids(
    user_ids: Sequence[str], content_ids: Sequence[str], event_types: Sequence[str], ts: pa.Array | pa.ChunkedArray
) -> list[str]:
    """`event_id_of` for a batch, in a fraction of the time; `ts` is `timestamp[us, UTC]` without nulls."""
    if not user_ids:
        return []
    micros = np.asarray(ts.cast(pa.int64()))
    moments = micros.astype("datetime64[us]")
    text = np.where(
        micros % 1_000_000 == 0, np.datetime_as_string(moments, unit="s"), np.datetime_as_string(moments, unit="us")
    )
    namespace = NAMESPACE.bytes
    digests = [
        sha1(namespace + f"{user}|{content}|{kind}|{moment}+00:00".encode()).digest()  # noqa: S324  # uuid5 is SHA-1
        for user, content, kind, moment in zip(user_ids, content_ids, event_types, text.tolist(), strict=True)
    ]
    bits = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 20)[:, :16].copy()
    bits[:, 6] = bits[:, 6] & 0x0F | 0x50  # RFC 9562, 5.5: version 5
    bits[:, 8] = bits[:, 8] & 0x3F | 0x80  # and variant
    return uuid_texts(bits)
