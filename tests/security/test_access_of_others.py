"""Who may what: every role at every route, made from the table; learners at other learners; ways around the table."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from app.serving.access import ACCESS, PUBLIC, Role
from tests.security.forging import token
from tests.security.wire import exchange, request, status

JSON = {"Content-Type": "application/json"}
OF_LEARNERS = [entry for entry in ACCESS if entry[1].startswith("/users/")]
HARMLESS: dict[tuple[str, str], tuple[dict[str, Any], int]] = {
    ("GET", "/recommend/{user_id}"): ({"params": {"k": 0}}, 422),
    ("POST", "/events"): ({"json": []}, 422),
    ("POST", "/xapi/statements"): ({"json": []}, 400),
    ("POST", "/admin/train"): ({"json": {"model": "none"}}, 422),
    ("POST", "/admin/reindex"): ({"json": {"incremental": "none"}}, 422),
    ("GET", "/admin/jobs/{submission_id}"): ({}, 422),
    ("GET", "/openapi.json"): ({}, 200),
    **dict.fromkeys(OF_LEARNERS, ({}, 422)),
}
"""A request of each route that what is behind the gate refuses for itself: its status tells that one is in."""

PLACES = {"user_id": "ada", "submission_id": "x" * 65}
"""In the routes of OF_LEARNERS a user_id is as long as that, too."""


def as_role(role: Role, user: str = "ada") -> dict[str, str]:
    return {"Authorization": f"Bearer {token(sub=user, role=role.value)}"}


async def test_every_route_of_the_application_is_guarded_and_in_the_table(application: FastAPI) -> None:
    guarded = application.router.route_class
    known = {*ACCESS, *PUBLIC}
    for route in application.routes:
        assert isinstance(route, APIRoute), f"{route} is no route of the table: mounts and plain routes pass no gate"
        assert type(route) is guarded, f"{route.path} passes no gate"
        entries = {(method, route.path) for method in route.methods or ()}
        assert entries <= known, f"{route.path} is not in app.serving.access"
        known -= entries
    assert not known, "the table names routes that there are none of"


@pytest.mark.parametrize("entry", sorted(ACCESS), ids=" ".join)
@pytest.mark.parametrize("role", [*Role, None], ids=str)
async def test_each_role_enters_where_the_table_says_and_nowhere_else(
    client: httpx.AsyncClient, entry: tuple[str, str], role: Role | None
) -> None:
    (method, path), (request, inside) = entry, HARMLESS[entry]
    headers = as_role(role) if role else {}
    places = PLACES | ({"user_id": "x" * 65} if entry in OF_LEARNERS else {})
    answer = await client.request(method, path.format(**places), headers=headers, **request)
    expected = 401 if role is None else inside if role in ACCESS[entry] else 403
    assert answer.status_code == expected, answer.text


async def test_a_route_that_somebody_forgot_to_enter_is_open_to_nobody(
    application: FastAPI, client: httpx.AsyncClient
) -> None:
    async def forgotten() -> str:
        return "secret"

    application.add_api_route("/forgotten", forgotten, methods=["GET"])
    try:
        statuses = [(await client.get("/forgotten", headers=as_role(role))).status_code for role in Role]
        assert [*statuses, (await client.get("/forgotten")).status_code] == [403] * len(Role) + [401]
    finally:
        application.router.routes.pop()


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "QUERY"])
@pytest.mark.parametrize("path", ["/recommend/ada", "/events", "/admin/train"])
async def test_other_methods_are_none(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, path, headers=as_role(Role.ADMIN))
    assert answer.status_code == 405


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
async def test_a_header_makes_no_other_method(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post("/admin/train", headers={**as_role(Role.ANALYST), name: "GET"}, json={})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/admin/train/",
        "/admin//train",
        "//admin/train",
        "/admin/./train",
        "/recommend/../admin/train",
        "/recommend/%2e%2e/admin/train",
        "/recommend/..%2fadmin%2ftrain",
        "/admin%2ftrain",
        "/ADMIN/TRAIN",
        "/Admin/Train",
        "/admin/train%00",
        "/admin/train%20",
        "/admin/train;x=1",
        "/admin/train.json",
        "/admin/train%3f",
        "/ａdmin/train",
        "/аdmin/train",
        "/admin/trаin",
        "/health/../admin/train",
        "/metrics%2f..%2fadmin/train",
        "\\admin\\train",
    ],
)
@pytest.mark.parametrize("role", [None, Role.ANALYST, Role.LEARNER], ids=str)
def test_no_other_spelling_of_a_path_leads_around_the_gate(port: int, path: str, role: Role | None) -> None:
    token = [f"{name}: {value}" for name, value in (as_role(role) if role else {}).items()]
    answer = exchange(port, request("POST", path, *token, "Content-Type: application/json", body=b'{"model": 1}'))
    assert status(answer) in (400, 403 if role else 401, 404, 405), answer


def test_a_path_with_a_slash_too_many_is_not_sent_on_to_where_the_host_header_says(port: int) -> None:
    answer = exchange(port, request("GET", "/metrics/").replace(b"Host: service", b"Host: evil.example"))
    assert status(answer) == 404
    assert b"evil.example" not in answer


@pytest.mark.parametrize(
    "user",
    [
        "ben", "ADA", "Ada", "ada ben", "ada%2f..%2fben", "ada%00", "ada%0aben", "ａｄａ", "аdа", "ada%CC%81", "ada.",
        "%20ben", "ada,ben", "ada;ben", "*", "%25", "ada%2520", "0", "null", "undefined", "-1",
    ],
)  # fmt: skip
def test_a_learner_gets_nothing_of_anybody_else(port: int, user: str) -> None:
    bearer = f"Authorization: {as_role(Role.LEARNER)['Authorization']}"
    for query in ("", "?user_id=ada", "?k=5&user_id=ada"):
        answer = exchange(port, request("GET", f"/recommend/{user}{query}", bearer))
        assert status(answer) in (400, 403, 404, 422), answer


def event(user: Any) -> dict[str, Any]:
    return {"user_id": user, "content_id": "c", "event_type": "like"}


@pytest.mark.parametrize(
    "body",
    [
        [event("ben")],
        [event("ada"), event("ben")],
        [event("ben"), *[event("ada")] * 499],
        [{**event("ada"), "user_id ": "ben"}],
        [event(["ada", "ben"])],
        [event({"ada": 1})],
        [event(None)],
        [event(True)],
        [event("ADA")],
        [event("ada\u200b")],
        {"events": [event("ben")]},
    ],
    ids=lambda body: str(body)[:60],
)
async def test_a_learner_tells_nothing_of_anybody_else(client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/events", json=body, headers=as_role(Role.LEARNER))
    assert answer.status_code in (403, 422), answer.text


@pytest.mark.parametrize(
    "body",
    [
        b'{"user_id": "ada", "user_id": "ben", "content_id": "c", "event_type": "like"}',
        b'{"user_id": "ada", "content_id": "c", "event_type": "like", "\\u0075ser_id": "ben"}',
    ],
)
async def test_a_name_that_is_said_twice_does_not_show_one_to_the_gate_and_one_to_the_log(
    client: httpx.AsyncClient, body: bytes
) -> None:
    """The last counts, for both: there is one reading."""
    answer = await client.post("/events", content=body, headers={**JSON, **as_role(Role.LEARNER)})
    assert answer.status_code == 403


ACTORS: list[Any] = [
    {"account": {"homePage": "http://lms.example", "name": "ben"}},
    {"account": {"homePage": "http://lms.example", "name": "ADA"}},
    {"mbox": "mailto:ada@lms.example"},
    {"mbox": "mailto:ben"},
    {"openid": "http://ada"},
    {"mbox_sha1sum": "a" * 40},
    {"objectType": "Group", "account": {"homePage": "http://lms.example", "name": "ben"}},
    {"account": {"homePage": "http://lms.example", "name": "ada"}, "mbox": "mailto:ben@lms.example"},
    {"account": {"homePage": "http://lms.example", "name": ["ada", "ben"]}},
]


@pytest.mark.parametrize("actor", ACTORS, ids=str)
async def test_a_statement_speaks_for_its_actor_only(client: httpx.AsyncClient, actor: Any) -> None:
    said = {
        "actor": actor,
        "verb": {"id": "http://adlnet.gov/expapi/verbs/completed"},
        "object": {"id": "urn:c"},
        "authority": {"account": {"homePage": "http://lms.example", "name": "ada"}},
    }
    headers = {**as_role(Role.LEARNER), "X-Experience-API-Version": "1.0.3"}
    answer = await client.post("/xapi/statements", json=said, headers=headers)
    assert answer.status_code in (400, 403), answer.text


async def test_nobody_names_themselves_by_a_header(client: httpx.AsyncClient) -> None:
    claimed = {"X-User": "ben", "X-Forwarded-User": "ben", "X-Role": "admin", "Cookie": f"token={token(role='admin')}"}
    assert (await client.post("/admin/train", headers=claimed, json={})).status_code == 401
    spoken = f"/recommend/ada?access_token={token(role='admin')}&token={token(role='admin')}"
    assert (await client.get(spoken)).status_code == 401
    assert (await client.get("/recommend/ben", headers={**claimed, **as_role(Role.LEARNER)})).status_code == 403


async def test_of_two_tokens_the_first_counts_and_never_the_better_one(client: httpx.AsyncClient) -> None:
    learner, admin = (as_role(role)["Authorization"] for role in (Role.LEARNER, Role.ADMIN))
    headers = [("Authorization", learner), ("Authorization", admin)]
    assert (await client.post("/admin/train", headers=headers, json={})).status_code == 403
    joined = {"Authorization": f"{learner}, {admin}"}
    assert (await client.post("/admin/train", headers=joined, json={})).status_code == 401
