"""Bodies of requests as tables of events, or all that is wrong with them."""

from datetime import datetime
from typing import Any, TypeVar

import orjson
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from app.domain.checks import event_faults
from app.domain.events import EVENT_SCHEMA
from app.domain.ids import canonical_id, new_ids
from app.errors import InvalidInput
from app.serving.problems import MOST_FAULTS, Fault, Problem, faults_of
from app.serving.schemas import EventIn, event_columns

T = TypeVar("T")


def parsed(body: bytes, kind: TypeAdapter[list[T]], *, status: int) -> list[T]:
    """One object, or a list of them. Raises Problem with all that is wrong."""
    try:
        read: Any = orjson.loads(body)
        return kind.validate_python(read if isinstance(read, list) else [read])
    except orjson.JSONDecodeError as exc:
        raise Problem(status, f"the body is no JSON: {exc}") from exc
    except ValidationError as exc:
        faults = faults_of(exc.errors(include_url=False, include_context=False, include_input=False))
        detail = f"{exc.error_count()} faults in the body; the first: {faults[0].what}"
        raise Problem(status, detail, errors=faults) from exc


def events_table(events: list[EventIn], *, now: datetime, status: int, rows: list[int] | None = None) -> pa.Table:
    """EVENT_SCHEMA, canonical and checked like every event that comes in; `rows` are their places in the body.

    Raises Problem with all that is wrong.
    """
    faults: list[Fault] = []
    places = rows or list(range(len(events)))
    own = iter(new_ids(sum(not event.event_id for event in events)))

    def canonical(row: int, name: str, outside: str) -> str:
        try:
            return canonical_id(outside)
        except InvalidInput as exc:
            faults.append(Fault(where=f"{row}.{name}", what=str(exc)))
            return ""

    table = event_columns(
        [
            (
                canonical(row, "event_id", event.event_id) if event.event_id else next(own),
                canonical(row, "user_id", event.user_id),
                canonical(row, "content_id", event.content_id),
                event.event_type.value,
                event.value,
                event.ts or now,
            )
            for row, event in zip(places, events, strict=True)
        ],
        EVENT_SCHEMA,
    )
    if not faults:
        reasons = zip(places, event_faults(table, now=now).to_list(), strict=True)
        faults = [Fault(where=str(row), what=reason) for row, reason in reasons if reason]
    if faults:
        raise Problem(status, f"event {faults[0].where}: {faults[0].what}", errors=faults[:MOST_FAULTS])
    return table
