"""Contents and learners as stored: Arrow schemas for bulk."""

from enum import StrEnum

import pyarrow as pa


class ContentType(StrEnum):
    VIDEO = "video"
    ARTICLE = "article"
    QUIZ = "quiz"


CONTENT_TYPES = tuple(ContentType)
MIN_DIFFICULTY, MAX_DIFFICULTY = 1, 5

CONTENT_SCHEMA = pa.schema(
    [
        pa.field("content_id", pa.string(), nullable=False),
        pa.field("external_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("tags", pa.list_(pa.string()), nullable=False),
        pa.field("difficulty", pa.int8()),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ],
    metadata={"version": "1"},
)
"""`external_id` is the id that the source used; `difficulty` is null where unknown."""

USER_SCHEMA = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("external_id", pa.string(), nullable=False),
        pa.field("cohort_tag", pa.string()),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ],
    metadata={"version": "1"},
)
