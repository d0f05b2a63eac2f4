"""What every request passes: an id, a bound on its body, the clock; and per route: who may, and how often."""

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Unavailable
from app.serving.access import ACCESS, COSTS, PUBLIC, Caller, may_enter
from app.serving.auth import TokenVerifier
from app.serving.limits import Limit, Standing, address_of
from app.serving.observer import Observer
from app.serving.problems import Problem, problem_of, said

JSON = "application/json"
MAX_BODY_BYTES, MAX_BODY_S = 2**20, 10.0
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
"""On every answer: it is data for one caller, and no page."""
REST_S = 0.05
"""Before a refusal: a client that asks again at once, whatever Retry-After says, must not cost as much as an answer."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNKNOWN_ROUTE, _COSTLY = "other", "/recommend/{user_id}"
_COSTLY_PREFIX = _COSTLY.partition("{")[0]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Envelope:
    """ASGI middleware, outermost."""

    def __init__(self, app: ASGIApp, observer: Observer, turned_away: Callable[[], str | None]) -> None:
        """`turned_away` says why no recommendation can be made in time now, if so."""
        self._app, self._observer, self._turned_away = app, observer, turned_away

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500
        scope["request_id"] = _request_id(scope)  # Serve sends it back as X-Request-ID
        added = [*SECURITY_HEADERS, *self._observer.begin(scope)]

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *added]
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
            seconds = time.monotonic() - began
            self._observer.end(scope, method=method, route=route, status=status, seconds=seconds)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def _bounded(receive: Receive) -> Receive:
    """No body of more than MAX_BODY_BYTES, whatever its headers say, and none that takes longer than MAX_BODY_S."""
    size, whole, deadline = 0, False, asyncio.get_running_loop().time() + MAX_BODY_S

    async def received() -> Message:
        nonlocal size, whole
        if whole:  # what comes now is that the client went away, some time
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError as exc:
            raise Problem(408, f"the body is not here after {MAX_BODY_S:.0f} s: send it faster, or in parts") from exc
        size += len(message.get("body", b""))
        if size > MAX_BODY_BYTES:
            raise Problem(413, f"the body has more than {MAX_BODY_BYTES} bytes: send it in parts")
        whole = not message.get("more_body", False)
        return message

    return received


@dataclass(frozen=True, slots=True)
class Gate:
    """What a request must pass."""

    verifier: TokenVerifier
    subjects: Limit
    addresses: Limit
    hops: int  # proxies of ours that told the client's address

    async def passed(self, request: Request, route: str) -> tuple[Caller, Standing]:
        """Raises Problem 401, 403 or 429."""
        cost = COSTS.get((request.method, route), 1)
        told = request.headers.getlist("x-forwarded-for")  # a proxy may add a line of its own below the client's
        address = address_of(", ".join(told), hops=self.hops)
        if address:  # before the token, which somebody may be guessing
            self.addresses.spend(address, cost)
        caller = await self.verifier.admit(request.headers.get("authorization"))
        if not may_enter(caller.role, request.method, route):
            roles = ", ".join(sorted(ACCESS.get((request.method, route), ()))) or "nobody"
            raise Problem(403, f"the role {caller.role} may not do this; allowed: {roles}")
        return caller, self.subjects.spend(caller.subject, cost)


def guarded_route(gate: Gate) -> type[APIRoute]:
    """Routes that look at the caller before anything else of the request. A route outside the table is refused."""

    class GuardedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            inner, entries = super().get_route_handler(), [(method, self.path) for method in self.methods or ()]
            if all(entry in PUBLIC for entry in entries):
                return inner

            async def handler(request: Request) -> Response:
                request = _StrictRequest(request.scope, request.receive)
                request.scope["caller"], standing = await gate.passed(request, self.path)
                if _has_body(request):
                    _require_json(request.headers)
                    await request.body()  # whole before anything looks at it: its bounds hold for every route alike
                response = await inner(request)
                response.headers.update(standing.headers())
                return response

            return handler

    return GuardedRoute


class _StrictRequest(Request):
    """Reads JSON as all routes do: UTF-8, no NaN, and 1,024 levels at most, which is orjson's own bound."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())


def _has_body(request: Request) -> bool:
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers


def _require_json(headers: Headers) -> None:
    """Raises Problem 415: a body that says that it is something else, or is packed, or says nothing."""
    said = headers.get("content-type", "")
    kind, _, parameters = said.lower().partition(";")
    if kind.strip() != JSON or parameters.replace('"', "").strip() not in ("", "charset=utf-8"):
        raise Problem(415, f"the body's Content-Type is {said[:100]!r}: send {JSON}")
    packed = ", ".join(headers.getlist("content-encoding"))
    if packed.lower() not in ("", "identity"):  # a small one may unpack to anything
        refusal = f"the body's Content-Encoding is {packed[:100]!r}: send it as it is"
        raise Problem(415, refusal, headers={"Accept-Encoding": "identity"})


def caller_of(request: Request) -> Caller:
    return request.scope["caller"]


def require_own(caller: Caller, user_id: str) -> None:
    """Raises Problem 403: a learner may act for themselves only. `user_id` is canonical."""
    if not caller.may_act_for(user_id):
        raise Problem(403, "a learner's token is good for that learner only: use your own id, or a service's token")
