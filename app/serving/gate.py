"""What every request passes: an id, a bound on its body, the clock; and per route: who may, and how often."""

import asyncio
import math
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

from fastapi import Request, Response
from fastapi.routing import APIRoute
from limits import parse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import InvalidInput, Unavailable
from app.serving.access import ACCESS, PUBLIC, Caller, may_enter
from app.serving.auth import TokenVerifier
from app.serving.metrics import Metrics
from app.serving.problems import Problem, problem_of, said

MAX_BODY_BYTES = 2**20
REST_S = 0.05
"""Before a refusal: a client that asks again at once, whatever Retry-After says, must not cost as much as an answer."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNKNOWN_ROUTE, _COSTLY = "other", "/recommend/{user_id}"
_COSTLY_PREFIX = _COSTLY.partition("{")[0]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Envelope:
    """ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp, metrics: Metrics, turned_away: Callable[[], str | None]) -> None:
        """`turned_away` says why no recommendation can be made in time now, if so."""
        self._app, self._metrics, self._turned_away = app, metrics, turned_away

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500
        scope["request_id"] = _request_id(scope)  # Serve sends it back as X-Request-ID

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        reason = self._turned_away() if scope["path"].startswith(_COSTLY_PREFIX) else None
        try:
            if reason:  # before anything else is done
                await asyncio.sleep(REST_S)
                await said(problem_of(Unavailable("service", reason)), scope)(scope, receive, sent)
            else:
                await self._app(scope, _bounded(receive), sent)
        finally:
            route = _COSTLY if reason else getattr(scope.get("route"), "path", _UNKNOWN_ROUTE)
            method = scope["method"] if route != _UNKNOWN_ROUTE else _UNKNOWN_ROUTE
            self._metrics.answered(method=method, route=route, status=status, seconds=time.monotonic() - began)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def _bounded(receive: Receive) -> Receive:
    """No body of more than MAX_BODY_BYTES, whatever its headers say."""
    size = 0

    async def received() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise Problem(413, f"the body has more than {MAX_BODY_BYTES} bytes: send it in parts")
        return message

    return received


class RateLimit:
    """So many requests a subject in each window of time; counted in this replica.

    The counters of the limits library start a thread for every hit, which costs more than the rest of the request.
    """

    def __init__(self, limit: str, *, clock: Callable[[], float] = time.time) -> None:
        """Raises InvalidInput: `limit` is none that the limits library reads, such as `600/minute`."""
        try:
            self._item = parse(limit)
        except ValueError as exc:
            raise InvalidInput(f"LEARNREC_RATE_LIMIT is {limit!r}: write it like 600/minute") from exc
        self._clock = clock
        self._window = 0
        self._hits: dict[str, int] = {}

    def hit(self, subject: str) -> None:
        """Raises Problem 429."""
        now, length_s = self._clock(), self._item.get_expiry()
        window = int(now // length_s)
        if window != self._window:
            self._window, self._hits = window, {}
        self._hits[subject] = hits = self._hits.get(subject, 0) + 1
        if hits > self._item.amount:
            wait_s = math.ceil((window + 1) * length_s - now)
            detail = f"more than {self._item} for this subject: try again in {wait_s} s"
            raise Problem(429, detail, headers={"Retry-After": str(wait_s)})


def guarded_route(verifier: TokenVerifier, limit: RateLimit) -> type[APIRoute]:
    """Routes that look at the caller before anything else of the request. A route outside the table is refused."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            inner, entries = super().get_route_handler(), [(method, self.path) for method in self.methods or ()]
            if all(entry in PUBLIC for entry in entries):
                return inner

            async def handler(request: Request) -> Response:
                caller = await verifier.admit(request.headers.get("authorization"))
                if not may_enter(caller.role, request.method, self.path):
                    roles = ", ".join(sorted(ACCESS.get((request.method, self.path), ()))) or "nobody"
                    raise Problem(403, f"the role {caller.role} may not do this; allowed: {roles}")
                limit.hit(caller.subject)
                request.scope["caller"] = caller
                return await inner(request)

            return handler

    return GuardedRoute


def caller_of(request: Request) -> Caller:
    return request.scope["caller"]


def require_own(caller: Caller, user_id: str) -> None:
    """Raises Problem 403: a learner may act for themselves only. `user_id` is canonical."""
    if not caller.may_act_for(user_id):
        raise Problem(403, "a learner's token is good for that learner only: use your own id, or a service's token")
