"""The page of the HTTP interface, from the OpenAPI document of the very application that answers."""

import json
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from app.serving.access import ACCESS, COSTS, PUBLIC, Role
from app.serving.arguments import GraphArguments
from app.serving.calls import Stage
from app.serving.http import build_app
from app.serving.problems import Problem, said
from app.serving.service import Service
from app.settings import Settings
from deploy.site.tables import default_of, fields, kind_of, table, type_of

Document = Mapping[str, Any]

_INTRODUCTION = f"""# HTTP interface

Every request but those of probes carries a token: `Authorization: Bearer TOKEN`, a JWT signed with RS256 by the
identity provider of the [settings](settings.md), with `sub` (who), `role`, `iss`, `aud` and `exp`. Roles are
{", ".join(f"`{role}`" for role in Role)}. A **learner** asks and tells for themselves alone, a **service** for any
learner; an **analyst** reads how jobs fare; an **admin** may do everything.

Send `X-Request-ID` to find a request again; it comes back, and is made where you send none. `RateLimit` and
`RateLimit-Policy` say what is left of your limit, in which some requests cost more than one.

The same as JSON for programs: `GET /openapi.json`.
"""


def document() -> Document:
    """Of an application that has been built and never started: it knows no store, and asks none."""
    with TemporaryDirectory() as folder:
        nowhere = {
            "postgres_url": "postgresql://nowhere.invalid/",
            "redis_url": "redis://nowhere.invalid",
            "mlflow_uri": "http://nowhere.invalid",
        }
        settings = Settings.model_construct(None, var_dir=Path(folder), **nowhere)  # nothing of the environment
        stage = cast(Stage, None)
        service = Service(settings, GraphArguments(), embedder=stage, retriever=stage, ranker=stage)
        return build_app(service).openapi()


def page() -> str:
    described = document()
    return "\n".join([_INTRODUCTION, *_contents(), *_routes(described), *_errors(described), *_schemas(described)])


def _contents() -> Iterator[str]:
    rows = [(f"`{method} {path}`", _roles(method, path)) for method, path in _in_order()]
    yield table(("route", "for"), rows)


def _in_order() -> list[tuple[str, str]]:
    return [*ACCESS, *sorted(PUBLIC)]


def _roles(method: str, path: str) -> str:
    if (method, path) in PUBLIC:
        return "everybody, without a token"
    allowed = ACCESS[method, path]
    return "every role" if allowed == frozenset(Role) else ", ".join(f"`{r}`" for r in Role if r in allowed)


def _routes(described: Document) -> Iterator[str]:
    for method, path in _in_order():
        operation = described["paths"][path][method.lower()]
        yield f"## `{method} {path}`\n"
        yield f"{operation.get('description', '')}\n"
        cost = COSTS.get((method, path), 1)
        yield f"For: {_roles(method, path)}." + (f" Counts as {cost} requests." if cost > 1 else "") + "\n"
        yield from _parameters(operation)
        yield from _body(operation)
        rows = [(f"`{status}`", *_answer(answer)) for status, answer in operation["responses"].items()]
        yield table(("status", "answer", "meaning"), rows)


def _parameters(operation: Document) -> Iterator[str]:
    if not operation.get("parameters"):
        return
    rows = [
        (
            f"`{each['name']}`",
            each["in"],
            kind_of(each["schema"]),
            "needed" if each.get("required") else default_of(each["schema"]),
            each.get("description", ""),
        )
        for each in operation["parameters"]
    ]
    yield table(("parameter", "in", "type", "default", "meaning"), rows)


def _body(operation: Document) -> Iterator[str]:
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body, `{kind}`: {type_of(content['schema'])}.\n"


def _answer(answer: Document) -> tuple[str, str]:
    kinds = [
        type_of(content["schema"]) if content.get("schema") else f"`{kind}`"
        for kind, content in answer.get("content", {}).items()
    ]
    plain = answer["description"] in {status.phrase for status in HTTPStatus} | {"Successful Response"}
    return ", ".join(kinds), "" if plain else answer["description"]


def _errors(described: Document) -> Iterator[str]:
    scope = {"path": "/recommend/ada", "request_id": "0b8f2c"}
    example = json.loads(bytes(said(Problem(422, "k: Input should be less than or equal to 100"), scope).body))
    yield "## Errors\n"
    yield "What is not as asked for is answered with problem details (RFC 9457), `application/problem+json`:\n"
    yield f"```json\n{json.dumps(example, indent=2)}\n```\n"
    meanings: dict[str, str] = {}
    for method, path in _in_order():
        for status, answer in described["paths"][path][method.lower()]["responses"].items():
            if int(status) >= 400:
                meanings.setdefault(status, answer["description"])
    yield table(("status", "meaning"), [(f"`{status}`", meanings[status]) for status in sorted(meanings)])


def _schemas(described: Document) -> Iterator[str]:
    yield "## Objects\n"
    schemas = described["components"]["schemas"]
    for name in sorted(_reachable({"paths": described["paths"]}, schemas)):
        schema = schemas[name]
        yield f"### {name}\n"
        yield f"{schema.get('description', '')}\n"
        if schema.get("properties"):
            yield fields(schema)
        else:
            yield f"{kind_of(schema)}.\n"


def _reachable(part: Any, schemas: Document) -> set[str]:
    """Names of the objects that `part` refers to, directly or not."""
    found: set[str] = set()
    ahead: list[Any] = [part]
    while ahead:
        each = ahead.pop()
        if isinstance(each, Mapping):
            name = str(each.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                ahead.append(schemas[name])
            ahead += each.values()
        elif isinstance(each, list):
            ahead += each
    return found
