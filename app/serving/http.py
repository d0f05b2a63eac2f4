"""The HTTP face of the service: routes, and what OpenAPI says of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from app.adapters.redis_counters import RedisCounters
from app.domain.ids import MAX_ID_LENGTH, canonical_id
from app.domain.slates import SlateItem
from app.errors import LearnrecError
from app.serving.admin_http import add_admin
from app.serving.auth import TokenVerifier
from app.serving.event_requests import events_table, parsed
from app.serving.gate import Envelope, Gate, caller_of, guarded_route, require_own
from app.serving.key_source import FileKeys, UrlKeys
from app.serving.limits import Limit, share_for_ever
from app.serving.monitor import Health
from app.serving.observer import Observer, SlowRequests
from app.serving.privacy_http import add_privacy
from app.serving.problems import ProblemDetails, documented, respond
from app.serving.question import Answer
from app.serving.schemas import EVENTS, EventIn, EventsAccepted, HealthReport, Recommendation
from app.serving.service import DEFAULT_ITEMS, MAX_ITEMS, Service
from app.serving.xapi_http import add_xapi

JSON = "application/json"
MIN_TIMEOUT_MS = 10
DEPENDENCIES = ("postgres", "redis", "event_log", "milvus", "mlflow", "embedder", "retriever", "ranker")
_EVENTS_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {
                "schema": {
                    "anyOf": [{"$ref": "#/components/schemas/EventIn"}, {"$ref": "#/components/schemas/EventList"}]
                }
            }
        },
    }
}


def build_app(service: Service) -> FastAPI:
    """Opening and closing the service is the application's lifespan."""
    settings = service.settings
    keys = UrlKeys(settings.jwt_jwks_url) if settings.jwt_jwks_url else FileKeys(settings.jwks_path)
    gate = Gate(
        TokenVerifier(keys, issuer=settings.jwt_issuer, audience=settings.jwt_audience),
        Limit("subject", settings.rate_limit, variable="LEARNREC_RATE_LIMIT"),
        Limit("address", settings.rate_limit_address, variable="LEARNREC_RATE_LIMIT_ADDRESS"),
        settings.forwarded_hops,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        counters = RedisCounters(settings.need("redis_url"))
        sharing = asyncio.create_task(share_for_ever(counters, gate.subjects, gate.addresses))
        yield
        sharing.cancel()
        await counters.close()
        await service.close()

    app = FastAPI(title="learnrec", version="1", lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.router.route_class = guarded_route(gate)
    if settings.cors_origins:
        origins = [origin.strip() for origin in settings.cors_origins.split(",")]
        headers = ["Authorization", "Content-Type", "X-Request-ID", "X-Request-Timeout-Ms"]
        app.add_middleware(CORSMiddleware, allow_origins=origins, allow_methods=["GET", "POST"], allow_headers=headers)
    observer = Observer(service.metrics, service.tracing, SlowRequests.of(settings))
    app.add_middleware(Envelope, observer=observer, turned_away=service.turned_away)
    for kind in (LearnrecError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, respond)
    _add_recommend(app, service)
    _add_events(app, service)
    add_xapi(app, service)
    add_admin(app, service)
    add_privacy(app, service)
    _add_operations(app, service)
    return app


def _add_recommend(app: FastAPI, service: Service) -> None:
    responses: Any = {200: {"model": Recommendation}} | documented(401, 403, 422, 429, 503)

    @app.get("/recommend/{user_id}", responses=responses, response_class=Response)
    async def recommend(
        request: Request,
        user_id: Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH)],
        k: Annotated[int, Query(ge=1, le=MAX_ITEMS, description="contents wanted")] = DEFAULT_ITEMS,
        x_request_timeout_ms: Annotated[
            int | None, Header(ge=MIN_TIMEOUT_MS, description="milliseconds for the answer, where fewer than usual")
        ] = None,
    ) -> Response:
        """Contents for one learner, best first; never those that they completed."""
        canonical = canonical_id(user_id)
        require_own(caller_of(request), canonical)
        scope = request.scope
        answer = await service.recommend(canonical, k, timeout_ms=x_request_timeout_ms, span=scope["span"])
        scope["answer"] = answer
        return Response(orjson.dumps(_said(request, user_id, answer)), media_type=JSON)


def _said(request: Request, user_id: str, answer: Answer) -> dict[str, Any]:
    slate = answer.slate
    return {
        "request_id": request.scope["request_id"],
        "user_id": user_id,
        "release": slate.release,
        "items": [_item(item) for item in slate.items],
        "served_by": slate.served_by,
        "degraded": slate.degraded,
        "timings_ms": answer.timings_ms,
    }


def _item(item: SlateItem) -> dict[str, Any]:
    return {
        "content_id": item.content_id,
        "title": item.title,
        "type": item.type,
        "score": item.score,
        "position": item.position,
        "source": item.source,
    }


def _add_events(app: FastAPI, service: Service) -> None:
    responses: Any = {202: {"model": EventsAccepted}} | documented(401, 403, 408, 413, 415, 422, 429, 503)

    @app.post("/events", status_code=202, responses=responses, response_class=Response, openapi_extra=_EVENTS_BODY)
    async def events(request: Request) -> Response:
        """One event, or a list of up to 500; accepted together or not at all."""
        table = events_table(parsed(await request.body(), EVENTS, status=422), now=datetime.now(UTC), status=422)
        caller = caller_of(request)
        for user_id in table["user_id"].unique().to_pylist():
            require_own(caller, user_id)
        recorded = await service.intake.record(table, request.scope["span"])
        body = {"event_ids": table["event_id"].to_pylist(), **asdict(recorded)}
        return Response(orjson.dumps(body), status_code=202, media_type=JSON)


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/health", responses={200: {"model": HealthReport}}, response_class=Response)
    async def health() -> Response:
        """Live as soon as it answers; ready when a release is served and every stage holds it."""
        seen = service.health
        body = {"live": True, "ready": seen.stages_ready, "release": seen.release}
        body |= {"trial": seen.trial, "dependencies": _state(seen)}
        return Response(orjson.dumps(body), media_type=JSON)

    @app.get("/metrics", responses={200: {"content": {CONTENT_TYPE_LATEST: {}}}}, response_class=Response)
    async def metrics() -> Response:
        """Prometheus text of the replica that answers."""
        for name, word in _state(service.health).items():
            service.metrics.dependency(name, up=word != "down")
        return Response(service.scraped(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/openapi.json", responses=documented(401, 403, 429), response_class=Response)
    async def openapi() -> Response:
        """This document."""
        return Response(orjson.dumps(app.openapi()), media_type=JSON)

    app.openapi = _described(app)


def _state(seen: Health) -> dict[str, str]:
    state = dict.fromkeys(DEPENDENCIES, "ok") | dict.fromkeys(seen.unused, "unused")
    return state | {name: "down" for name in DEPENDENCIES if name in seen.faults}


def _described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """OpenAPI with the schemas that only its references name, and the bearer token."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for model in (ProblemDetails, EventIn):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
            listed = EVENTS.json_schema(ref_template="#/components/schemas/{model}")
            schemas["EventList"] = {name: value for name, value in listed.items() if name != "$defs"}
            document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"token": []}]
            app.openapi_schema = document
        return app.openapi_schema

    return describe
