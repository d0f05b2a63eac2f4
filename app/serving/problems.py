"""Problem details (RFC 9457): every answer that is not what was asked for says what is wrong and what to do."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.errors import Conflict, InvalidInput, LearnrecError, NotFound, Unavailable

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
MOST_FAULTS, MOST_TOLD = 100, 5
"""Listed, and told in the detail: an answer must not grow with what was sent."""

OF_OURS = ("service", "release")
"""What these say of themselves is for callers; drivers name hosts, users and files, which are for the log."""

_LOG = logging.getLogger(__name__)


class Fault(BaseModel):
    """One thing in the input that is wrong."""

    model_config = ConfigDict(extra="forbid")

    where: str
    what: str


class ProblemDetails(BaseModel):
    """What is wrong and why; RFC 9457."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[Fault] | None = None


class Problem(LearnrecError):  # the word of RFC 9457
    """An HTTP status with its reason; raised in a route, answered as problem details."""

    def __init__(
        self, status: int, detail: str, *, headers: Mapping[str, str] | None = None, errors: Sequence[Fault] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers, self.errors = dict(headers or {}), list(errors)


def faults_of(errors: Sequence[Any]) -> list[Fault]:
    """The first of pydantic's."""
    return [Fault(where=".".join(map(str, e["loc"])) or "body", what=e["msg"]) for e in errors[:MOST_FAULTS]]


def unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="learnrec"'})


def problem_of(exc: Exception) -> Problem:
    """Any exception as what the caller may know of it; of an unforeseen one, only that it happened."""
    match exc:
        case Problem():
            return exc
        case RequestValidationError():
            faults = faults_of(exc.errors())
            return Problem(422, "; ".join(f"{f.where}: {f.what}" for f in faults[:MOST_TOLD]), errors=faults)
        case HTTPException():
            return Problem(exc.status_code, _explained(exc), headers=exc.headers)
        case InvalidInput():
            return Problem(422, str(exc))
        case NotFound():
            return Problem(404, str(exc))
        case Conflict():
            return Problem(409, str(exc))
        case Unavailable():
            detail = str(exc) if exc.dependency in OF_OURS else f"{exc.dependency} does not answer: try again soon"
            return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})
        case _:
            return Problem(500, "an error on our side; the log has it under this request_id")


def _explained(exc: HTTPException) -> str:
    if exc.status_code == 404:
        return "there is no such path: GET /openapi.json lists those that exist"
    if exc.status_code == 405:
        return f"the path exists, but not with this method; allowed: {(exc.headers or {}).get('Allow', 'see openapi')}"
    return str(exc.detail)


async def respond(request: Request, exc: Exception) -> Response:
    """Asynchronous, though it waits for nothing: a plain function would run on a thread, which costs a millisecond."""
    problem = problem_of(exc)
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        _LOG.warning("request %s: %s", request.scope.get("request_id", ""), exc)
    if problem.status == 500:
        _LOG.error("a request failed", exc_info=exc)
    return said(problem, request.scope)


def said(problem: Problem, scope: Scope) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": scope["path"],
        "request_id": scope.get("request_id", ""),
    }
    if problem.errors:
        body["errors"] = [fault.model_dump() for fault in problem.errors]
    return Response(orjson.dumps(body), problem.status, problem.headers, MEDIA_TYPE)


_SAID = {
    400: "the statements, or the version of their interface, are not valid",
    401: "no token, or one that is not valid",
    403: "the token is valid, but not for this",
    404: "there is none of that name",
    408: "the body did not come in time",
    409: "it does not fit what is going on now",
    413: "the body is too large",
    415: "the body is not said to be application/json, or is packed",
    422: "the input does not validate",
    429: "too many requests; Retry-After says when to come back",
    503: "a store or a stage does not answer; Retry-After says when to try again",
}


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: these statuses answer with problem details."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {status: {"description": _SAID[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}
