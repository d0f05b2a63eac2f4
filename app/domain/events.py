"""Events: what a learner did with a content, and when. Columnar wherever there are many."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import uuid5

import numpy as np
import pyarrow as pa

from app.domain.ids import NAMESPACE


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
    return str(uuid5(NAMESPACE, f"{user_id}|{content_id}|{event_type}|{ts.isoformat()}"))
