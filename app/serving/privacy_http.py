"""`/users/{user_id}/opt-out`: a learner who wants nothing personal says so, and may come back."""

from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path, Request, Response

from app.domain.ids import MAX_ID_LENGTH, canonical_id
from app.serving.gate import JSON, caller_of, require_own
from app.serving.problems import documented
from app.serving.schemas import OptOut
from app.serving.service import Service

UserId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH)]


def add_privacy(app: FastAPI, service: Service) -> None:
    responses: Any = {200: {"model": OptOut}} | documented(401, 403, 422, 429, 503)

    @app.put("/users/{user_id}/opt-out", responses=responses, response_class=Response)
    async def opt_out(request: Request, user_id: UserId) -> Response:
        """From the next request on: nothing personal, no events stored, no part in trainings. Again changes nothing."""
        canonical = _own(request, user_id)
        since = await service.intake.opt_outs.opt_out(canonical, external_id=user_id.strip())
        return Response(orjson.dumps({"user_id": user_id, "opted_out": True, "since": since}), media_type=JSON)

    @app.delete("/users/{user_id}/opt-out", responses=responses, response_class=Response)
    async def come_back(request: Request, user_id: UserId) -> Response:
        """From the next request on as before, with what is stored from before."""
        await service.intake.opt_outs.come_back(_own(request, user_id))
        return Response(orjson.dumps({"user_id": user_id, "opted_out": False, "since": None}), media_type=JSON)


def _own(request: Request, user_id: str) -> str:
    canonical = canonical_id(user_id)
    require_own(caller_of(request), canonical)
    return canonical
