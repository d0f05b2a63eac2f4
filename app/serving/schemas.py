"""What goes over HTTP."""

from datetime import datetime
from typing import Annotated, Any, Literal

import pyarrow as pa
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from app.domain.events import EventType
from app.domain.ids import MAX_ID_LENGTH
from app.domain.slates import SOURCES, ServedBy

MAX_EVENTS = 500
OutsideId = Annotated[
    str, Field(min_length=1, max_length=MAX_ID_LENGTH, description="any id; UUIDs stay what they are")
]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class EventIn(Closed):
    """One event. Sent again under the same event_id, it counts once."""

    user_id: OutsideId
    content_id: OutsideId
    event_type: EventType
    value: float | None = Field(None, description="view: seconds or share watched; quiz_score: 0..1; else none")
    ts: AwareDatetime | None = Field(None, description="when it happened; now, if left out")
    event_id: OutsideId | None = Field(None, description="made here, if left out")


EVENTS: TypeAdapter[list[EventIn]] = TypeAdapter(Annotated[list[EventIn], Field(min_length=1, max_length=MAX_EVENTS)])


class EventsAccepted(Closed):
    event_ids: list[str] = Field(description="in the order sent")
    not_stored: list[str] = Field(description="of these, those whose learners opted out")
    degraded: list[str] = Field(
        description="event_log: they wait on a disk; redis: the next recommendation may not know them yet"
    )


class OptOut(Closed):
    user_id: str
    opted_out: bool
    since: datetime | None


class ErasureReport(Closed):
    user_id: str
    state: Literal["under way", "erased"]
    requested_at: datetime
    finished_at: datetime | None
    removed: dict[str, int] = Field(description="rows, keys and the like, by store")
    receipt: str | None = Field(description="signed (JWS, Ed25519); `learnrec privacy verify` checks it")


class Item(Closed):
    content_id: str
    title: str
    type: str
    score: float
    position: int = Field(ge=1)
    source: str = Field(description=f"where the candidate came from: {', '.join(SOURCES)}")


class Recommendation(Closed):
    request_id: str
    user_id: str
    release: str | None
    items: list[Item]
    served_by: ServedBy
    degraded: list[str] = Field(description="what was missing while the answer was made")
    timings_ms: dict[str, float] = Field(description="of the micro-batch that the request travelled in")


class HealthReport(Closed):
    live: bool
    ready: bool = Field(description="a release is served and every stage holds it")
    release: str | None
    trial: str | None = Field(description="the release on trial, once every stage holds it")
    dependencies: dict[str, str] = Field(description="ok, down or unused (by choice), as seen a few seconds ago")


Json = dict[str, Any]
Row = tuple[str, str, str, str, float | None, Any]
_COLUMNS = ("event_id", "user_id", "content_id", "event_type", "value", "ts")


def event_columns(rows: list[Row], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True))
    return pa.table({name: list(column) for name, column in zip(_COLUMNS, columns, strict=True)}, schema=schema)
