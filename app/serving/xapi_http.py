"""`POST /xapi/statements`: a door for learning systems that speak the Experience API."""

from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Header, Request, Response

from app.domain.ids import new_ids
from app.serving.event_requests import events_table, parsed
from app.serving.gate import caller_of, require_own
from app.serving.problems import Problem, documented
from app.serving.schemas import EventIn
from app.serving.service import Service
from app.serving.xapi import STATEMENTS, VERSION, Mapping

OPTED_OUT = "the learner opted out"
_BODY = {
    "requestBody": {
        "required": True,
        "description": "a statement, or a list of up to 500",
        "content": {"application/json": {"schema": {"anyOf": [{"type": "object"}, {"type": "array"}]}}},
    }
}


def add_xapi(app: FastAPI, service: Service) -> None:
    mapping = Mapping.load(service.settings.xapi_mapping)
    responses: Any = {200: {"model": list[str]}} | documented(400, 401, 403, 408, 413, 415, 422, 429, 503)

    @app.post("/xapi/statements", responses=responses, response_class=Response, openapi_extra=_BODY)
    async def statements(
        request: Request,
        x_experience_api_version: Annotated[str | None, Header(description="1.0.3, or another 1.0")] = None,
    ) -> Response:
        """Statements of xAPI 1.0.3, all accepted or none; the answer has the id of each, in the order sent.

        What the mapping has no event for is accepted too, as the specification wants; `Learnrec-Unmapped` says which.
        """
        if not (x_experience_api_version or "").startswith("1.0"):
            raise Problem(400, f"the header X-Experience-API-Version is {x_experience_api_version!r}: send {VERSION}")
        sent = parsed(await request.body(), STATEMENTS, status=400)
        ids = [statement.id or own for statement, own in zip(sent, new_ids(len(sent)), strict=True)]
        found = [mapping.event_of(each, event_id=own) for each, own in zip(sent, ids, strict=True)]
        events = {row: event for row, event in enumerate(found) if isinstance(event, EventIn)}
        unmapped = {row: reason for row, reason in enumerate(found) if isinstance(reason, str)}
        degraded: tuple[str, ...] = ()
        if events:
            table = events_table(list(events.values()), now=datetime.now(UTC), status=400, rows=list(events))
            for user_id in table["user_id"].unique().to_pylist():
                require_own(caller_of(request), user_id)
            recorded = await service.intake.record(table)
            degraded, not_stored = recorded.degraded, set(recorded.not_stored)
            unmapped |= {row: OPTED_OUT for row in events if ids[row] in not_stored}
        service.metrics.events.unmapped(list(unmapped.values()))
        return Response(orjson.dumps(ids), media_type="application/json", headers=_headers(unmapped, degraded))


def _headers(unmapped: dict[int, str], degraded: tuple[str, ...]) -> dict[str, str]:
    headers = {"X-Experience-API-Version": VERSION}
    if unmapped:
        rows: dict[str, list[str]] = {}
        for row, reason in unmapped.items():
            rows.setdefault(reason, []).append(str(row))
        # Each reason once: 500 of them would be a header that no proxy lets through.
        headers["Learnrec-Unmapped"] = "; ".join(f"{', '.join(of)}: {reason}" for reason, of in rows.items())
    if degraded:
        headers["Learnrec-Degraded"] = ", ".join(degraded)
    return headers
