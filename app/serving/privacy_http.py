"""`/users/{user_id}…`: what learners decide about what is known of them. Their own token, or a service's, is needed."""

from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Query, Request, Response

from app.domain.erasures import Erasure
from app.domain.ids import MAX_ID_LENGTH, canonical_id
from app.serving.gate import JSON, caller_of, require_own
from app.serving.problems import documented
from app.serving.schemas import ErasureReport, OptOut
from app.serving.service import Service

UserId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH)]
WaitS = Annotated[float, Query(ge=0, le=120, description="seconds to wait for the receipt; the erasure goes on anyway")]
ERASED_WITHIN_S = 30.0


def add_privacy(app: FastAPI, service: Service) -> None:
    _add_opt_out(app, service)
    _add_rights(app, service)


def _add_opt_out(app: FastAPI, service: Service) -> None:
    responses: Any = {200: {"model": OptOut}} | documented(401, 403, 422, 429, 503)

    @app.put("/users/{user_id}/opt-out", responses=responses, response_class=Response)
    async def opt_out(request: Request, user_id: UserId) -> Response:
        """From the next request on: nothing personal, no events stored, no part in trainings. Again changes nothing."""
        canonical = _own(request, user_id)
        since = await service.privacy.opt_out(canonical, by=caller_of(request), external_id=user_id.strip())
        return _json({"user_id": user_id, "opted_out": True, "since": since})

    @app.delete("/users/{user_id}/opt-out", responses=responses, response_class=Response)
    async def come_back(request: Request, user_id: UserId) -> Response:
        """From the next request on as before, with what is stored from before; after an erasure, that is nothing."""
        await service.privacy.come_back(_own(request, user_id), by=caller_of(request))
        return _json({"user_id": user_id, "opted_out": False, "since": None})


def _add_rights(app: FastAPI, service: Service) -> None:
    usual = documented(401, 403, 422, 429, 503)
    erased: Any = {200: {"model": ErasureReport}, 202: {"model": ErasureReport}} | usual
    found: Any = {200: {"model": ErasureReport}} | usual | documented(404)
    shown: Any = {200: {"description": "by store", "content": {JSON: {"schema": {"type": "object"}}}}} | usual

    @app.get("/users/{user_id}/export", responses=shown, response_class=Response)
    async def export(request: Request, user_id: UserId) -> Response:
        """Everything that is stored about the learner."""
        canonical = _own(request, user_id)
        return _json(await service.privacy.export(canonical, by=caller_of(request)))

    @app.delete("/users/{user_id}", responses=erased, response_class=Response)
    async def erase(request: Request, user_id: UserId, wait_s: WaitS = ERASED_WITHIN_S) -> Response:
        """Take out everything that is stored about the learner; the receipt proves it. 202: it is still under way."""
        canonical = _own(request, user_id)
        erasure = await service.privacy.erase(canonical, by=caller_of(request), wait_s=wait_s)
        response = _report(user_id, erasure)
        if erasure.finished_at is None:
            response.status_code = 202
            response.headers["Location"] = f"/users/{canonical}/erasure"
        return response

    @app.get("/users/{user_id}/erasure", responses=found, response_class=Response)
    async def erasure(request: Request, user_id: UserId) -> Response:
        """How the learner's erasure fares, and its receipt."""
        return _report(user_id, await service.privacy.erasure(_own(request, user_id)))


def _own(request: Request, user_id: str) -> str:
    canonical = canonical_id(user_id)
    require_own(caller_of(request), canonical)
    return canonical


def _report(user_id: str, erasure: Erasure) -> Response:
    return _json(
        {
            "user_id": user_id,
            "state": "erased" if erasure.finished_at else "under way",
            "requested_at": erasure.requested_at,
            "finished_at": erasure.finished_at,
            "removed": erasure.removed,
            "receipt": erasure.receipt,
        }
    )


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type=JSON)
