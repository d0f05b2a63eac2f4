"""The HTTP face of the running service."""

import asyncio
import random
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest
from redis import Redis

from app.domain.ids import canonical_id
from app.serving.access import ACCESS, PUBLIC, Role
from app.serving.gate import MAX_BODY_BYTES
from tests.serving.conftest import House
from tests.serving.tiny import FIRST
from tests.serving.waiting import until

AS_JSON = {"Content-Type": "application/json"}
ITEM = {"content_id", "title", "type", "score", "position", "source"}


def learner(house: House, number: int = 0) -> str:
    return house.tiny.world.users["user_id"][number].as_py()


def test_recommendations_have_the_shape_that_is_promised(served: House) -> None:
    user_id = learner(served)
    with served.client() as client:
        response = client.get(f"/recommend/{user_id}?k=7", headers={"X-Request-ID": "my-own-id"})
    body = response.json()
    assert response.status_code == 200, body
    assert body.keys() == {"request_id", "user_id", "release", "items", "served_by", "degraded", "timings_ms"}
    assert (body["request_id"], response.headers["X-Request-ID"], body["user_id"]) == (
        "my-own-id",
        "my-own-id",
        user_id,
    )
    assert (body["release"], body["served_by"], body["degraded"]) == (FIRST, "ranker", [])
    assert [item.keys() for item in body["items"]] == [ITEM] * 7
    assert {"queue", "postgres", "redis", "embedder", "retriever", "ranker"} <= body["timings_ms"].keys()


@pytest.mark.parametrize("user_id", ["nobody-knows-me", "ünïcode", "a b", "9f1c9a52-7a0b-4e0e-9f3e-0b9a4b7d2c11"])
def test_the_unknown_get_a_cold_start_slate_under_the_id_they_asked_with(served: House, user_id: str) -> None:
    with served.client() as client:
        body = client.get(httpx.URL(f"/recommend/{user_id}")).raise_for_status().json()
    assert (body["user_id"], body["served_by"], len(body["items"])) == (user_id, "popular", 10)


@pytest.mark.parametrize("k", [1, 100])
def test_k_may_be_more_than_there_is(served: House, k: int) -> None:
    with served.client() as client:
        items = client.get(f"/recommend/{learner(served)}?k={k}").raise_for_status().json()["items"]
    assert 1 <= len(items) <= k
    assert [item["position"] for item in items] == list(range(1, len(items) + 1))


@pytest.mark.parametrize("timeout_ms", [10, 35, 1_000_000])
def test_a_request_in_a_hurry_is_answered_with_what_is_there_by_then(served: House, timeout_ms: int) -> None:
    with served.client() as client:
        headers = {"X-Request-Timeout-Ms": str(timeout_ms)}
        hasty = [client.get(f"/recommend/{learner(served)}", headers=headers).raise_for_status() for _ in range(5)]
        usual = client.get(f"/recommend/{learner(served)}").raise_for_status().json()
    assert all(len(response.json()["items"]) == 10 for response in hasty)
    assert usual["degraded"] == [], "the hurry of others is not ours"


@pytest.mark.parametrize("timeout_ms", ["0", "9", "-1", "soon"])
def test_a_budget_that_no_answer_fits_in_is_refused(served: House, timeout_ms: str) -> None:
    with served.client() as client:
        response = client.get(f"/recommend/{learner(served)}", headers={"X-Request-Timeout-Ms": timeout_ms})
    assert response.status_code == 422
    assert "X-Request-Timeout-Ms" in response.text or "x-request-timeout-ms" in response.text


def test_two_hundred_mixed_requests_at_once_each_get_their_own_answer(served: House) -> None:
    numbers = [random.Random(3).randrange(served.tiny.world.users.num_rows) for _ in range(40)]
    questions = [(learner(served, number), 1 + number % 20) for number in numbers]

    async def ask(client: httpx.AsyncClient, question: tuple[str, int]) -> dict[str, Any]:
        user_id, k = question
        return (await client.get(f"/recommend/{user_id}?k={k}")).raise_for_status().json()

    async def run() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        headers = {"Authorization": f"Bearer {served.token()}"}
        async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=60, trust_env=False) as client:
            alone = [await ask(client, question) for question in questions]
            together = await asyncio.gather(*(ask(client, question) for question in questions * 5))
        return alone, together

    alone, together = asyncio.run(run())
    assert len({body["request_id"] for body in together}) == 200
    for body, expected, (user_id, k) in zip(together, alone * 5, questions * 5, strict=True):
        assert (body["user_id"], len(body["items"]), body["release"]) == (user_id, k, FIRST)
        same = {item["content_id"] for item in body["items"]} & {item["content_id"] for item in expected["items"]}
        assert len(same) >= 0.8 * k, "time moves on between the two, but hardly"


def test_a_completed_content_is_gone_from_the_next_recommendation(served: House) -> None:
    user_id = learner(served, 5)
    with served.client(user_id, Role.LEARNER) as client:
        first = client.get(f"/recommend/{user_id}?k=5").json()["items"][0]["content_id"]
        event = {"user_id": user_id, "content_id": first, "event_type": "complete", "event_id": "my-event"}
        accepted = client.post("/events", json=event)
        assert (accepted.status_code, accepted.json()) == (
            202,
            {"event_ids": [canonical_id("my-event")], "degraded": [], "not_stored": []},
        )
        items = client.get(f"/recommend/{user_id}?k=100").json()["items"]
    assert items
    assert first not in {item["content_id"] for item in items}


def test_events_make_a_stranger_known_and_reach_the_log(served: House) -> None:
    contents = served.tiny.world.contents["content_id"].to_pylist()[:3]
    moment = datetime.now(UTC) - timedelta(minutes=5)
    events = [
        {"user_id": "new-here", "content_id": content, "event_type": "view", "value": 30, "ts": moment.isoformat()}
        for content in contents
    ]
    with served.client() as client, Redis.from_url(served.settings.need("redis_url")) as redis:
        before = redis.xlen("learnrec:events")
        assert client.get("/recommend/new-here").json()["served_by"] == "popular"
        accepted = client.post("/events", json=events)
        assert accepted.status_code == 202, accepted.text
        assert len(set(accepted.json()["event_ids"])) == 3
        body = client.get("/recommend/new-here").json()
        assert redis.xlen("learnrec:events") == before + 3
    assert body["served_by"] == "ranker"


def test_whoever_opts_out_gets_nothing_personal_from_the_next_request_on(served: House) -> None:
    user_id = learner(served, 8)
    with served.client() as client, psycopg.connect(served.settings.need("postgres_url"), autocommit=True) as database:
        assert client.get(f"/recommend/{user_id}").json()["served_by"] == "ranker"
        database.execute("UPDATE users SET opted_out_at = now() WHERE user_id = %s", [user_id])
        answer, stranger = (client.get(f"/recommend/{one}").json() for one in (user_id, "nobody-knows-me"))
        database.execute("UPDATE users SET opted_out_at = NULL WHERE user_id = %s", [user_id])
    assert (answer["served_by"], answer["items"]) == ("popular", stranger["items"])


def problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= body.keys()
    assert (body["status"], len(body["detail"]) > 10) == (status, True)
    return body


@pytest.mark.parametrize("k", ["0", "101", "-1", "ten", "1.5"])
def test_a_wrong_k_is_said_to_be_wrong(served: House, k: str) -> None:
    with served.client() as client:
        body = problem(client.get(f"/recommend/ada?k={k}"), 422)
    assert body["errors"][0]["where"] == "query.k"


def test_ids_that_are_none_are_refused(served: House) -> None:
    with served.client() as client:
        for user_id in ("x" * 65, "%20", "a%00b"):
            problem(client.get(f"/recommend/{user_id}"), 422)


def test_nobody_comes_in_without_a_good_token(served: House) -> None:
    good = served.token()
    for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {good[:-6]}AAAAAA"}):
        response = httpx.get(f"{served.url}/recommend/ada", headers=header, trust_env=False)
        problem(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    posted = httpx.post(f"{served.url}/events", content=b"{", trust_env=False)
    problem(posted, 401)  # before anything of the body is read


def test_a_learner_is_kept_to_themselves(served: House) -> None:
    event = {"user_id": "ben", "content_id": "c", "event_type": "like"}
    with served.client("ada", Role.LEARNER) as client:
        assert client.get("/recommend/ada").status_code == 200
        problem(client.get("/recommend/ben"), 403)
        problem(client.post("/events", json=event), 403)
        problem(client.post("/events", json=[event | {"user_id": "ada"}, event]), 403)


def test_everybody_is_told_what_is_left_of_their_limit(served: House) -> None:
    with served.client("an-ordinary-client") as client:
        told = [client.get("/recommend/ada").headers["RateLimit"] for _ in range(2)]
        policy = client.get("/recommend/ada").headers["RateLimit-Policy"]
    left = [int(one.split(";")[1].removeprefix("r=")) for one in told]
    assert left[0] - left[1] == 1 or left[1] > left[0], "one less, but for a new minute"
    assert policy == '"default";q=100000;w=60'


def test_paths_and_methods_that_do_not_exist_are_problems_too(served: House) -> None:
    with served.client() as client:
        problem(client.get("/nothing/here"), 404)
        problem(client.get("/"), 404)
        problem(client.delete("/events"), 405)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", ""),
        (b"{", ""),
        (b"\xff\xfe", ""),
        (b"7", "0"),
        (b"[]", "body"),
        (b'{"user_id": "a", "content_id": "c"}', "0.event_type"),
        (b'{"user_id": "a", "content_id": "c", "event_type": "sing"}', "0.event_type"),
        (b'{"user_id": "a", "content_id": "c", "event_type": "view", "mood": "good"}', "0.mood"),
        (b'{"user_id": " ", "content_id": "c", "event_type": "view"}', "0.user_id"),
        (b'{"user_id": "a", "content_id": "c", "event_type": "quiz_score"}', "0"),
        (b'{"user_id": "a", "content_id": "c", "event_type": "quiz_score", "value": 1.5}', "0"),
        (b'{"user_id": "a", "content_id": "c", "event_type": "view", "ts": "2026-01-01T00:00:00"}', "0.ts"),
        (b'{"user_id": "a", "content_id": "c", "event_type": "view", "ts": "2200-01-01T00:00:00Z"}', "0"),
    ],
    ids=lambda value: value.decode("latin-1")[:60] if isinstance(value, bytes) else value,
)
def test_events_that_are_none_are_refused_with_the_place(served: House, body: bytes, where: str) -> None:
    with served.client() as client:
        said = problem(client.post("/events", content=body, headers=AS_JSON), 422)
    assert not where or said["errors"][0]["where"] == where


def test_bodies_and_lists_have_their_bounds(served: House) -> None:
    event = {"user_id": "a", "content_id": "c", "event_type": "like"}
    with served.client() as client:
        assert client.post("/events", json=[event] * 500).status_code == 202
        problem(client.post("/events", json=[event] * 501), 422)
        problem(client.post("/events", content=b" " * (MAX_BODY_BYTES + 1), headers=AS_JSON), 413)
        chunks = (b" " * 65_536 for _ in range(20))
        problem(client.post("/events", content=chunks, headers=AS_JSON), 413)  # without a Content-Length as well


@pytest.mark.parametrize("said", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_a_body_must_say_that_it_is_json(served: House, said: str) -> None:
    with served.client() as client:
        problem(client.post("/events", content=b"[]", headers={"Content-Type": said} if said else {}), 415)
        problem(client.post("/events", content=b"[]", headers={"Content-Type": "application/json; charset=utf-8"}), 422)


@pytest.mark.parametrize("path", ["/health", "/recommend/ada", "/nowhere"])
def test_every_answer_says_that_it_is_data_for_one_caller(served: House, path: str) -> None:
    with served.client() as client:
        headers = client.get(path, headers={"Origin": "https://page.example"}).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "access-control-allow-origin" not in headers


def test_metrics_count_by_bounded_labels(served: House) -> None:
    with served.client() as client:
        client.get("/recommend/ada")
        client.get("/nothing/at/all")
    text = httpx.get(f"{served.url}/metrics", trust_env=False).raise_for_status().text
    text = re.sub(r',replica="\w+"|replica="\w+",?', "", text)
    assert 'learnrec_requests_total{method="GET",route="/recommend/{user_id}",status="200"}' in text
    assert 'learnrec_requests_total{method="other",route="other",status="404"}' in text
    assert 'learnrec_stage_seconds_bucket{le="0.5",stage="ranker"}' in text
    assert 'learnrec_answers_total{served_by="ranker"}' in text
    assert f'learnrec_release_info{{release="{FIRST}"}} 1.0' in text
    assert "ada" not in text


def test_health_names_every_dependency_without_a_token(served: House) -> None:
    until(lambda: set(served.health()["dependencies"].values()) == {"ok"}, seconds=20)
    health = served.health()
    assert (health["live"], health["ready"], health["release"]) == (True, True, FIRST)
    assert {"postgres", "redis", "event_log", "milvus", "mlflow", "embedder", "retriever", "ranker"} == set(
        health["dependencies"]
    )


def test_openapi_tells_every_route_of_the_table_with_its_true_statuses(served: House) -> None:
    with served.client() as client:
        document = client.get("/openapi.json").raise_for_status().json()
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == ACCESS.keys() | PUBLIC
    statuses = {
        path: set(document["paths"][path][method]["responses"])
        for method, path in (("get", "/recommend/{user_id}"), ("post", "/events"))
    }
    assert statuses["/recommend/{user_id}"] == {"200", "401", "403", "422", "429", "503"}
    assert statuses["/events"] == {"202", "401", "403", "408", "413", "415", "422", "429", "503"}
    assert {"ProblemDetails", "EventIn", "EventList", "Recommendation"} <= document["components"]["schemas"].keys()
