"""Whoever opts out is not personal to us from the next request on, until they come back."""

from typing import Any

import httpx
import psycopg
from redis import Redis

from app.serving.access import Role
from tests.serving.conftest import House


def learner(house: House, number: int) -> str:
    return house.tiny.world.users["user_id"][number].as_py()


def event(house: House, user_id: str, number: int = 0) -> dict[str, Any]:
    content_id = house.tiny.world.contents["content_id"][number].as_py()
    return {"user_id": user_id, "content_id": content_id, "event_type": "view"}


def test_a_learner_opts_out_and_comes_back(served: House) -> None:
    user_id = learner(served, 11)
    with served.client(user_id, Role.LEARNER) as own, served.client() as service:
        before = own.get(f"/recommend/{user_id}").json()
        out = own.put(f"/users/{user_id}/opt-out").raise_for_status().json()
        again = own.put(f"/users/{user_id}/opt-out").raise_for_status().json()
        answer, stranger = (service.get(f"/recommend/{one}").json() for one in (user_id, "a-stranger"))
        back = own.delete(f"/users/{user_id}/opt-out").raise_for_status().json()
        after = own.get(f"/recommend/{user_id}").json()

    assert before["served_by"] == after["served_by"] == "ranker"
    assert (out["opted_out"], out["since"], back["opted_out"]) == (True, again["since"], False)
    assert (answer["served_by"], answer["items"]) == ("popular", stranger["items"])


def test_of_whoever_opted_out_no_event_is_stored(served: House) -> None:
    user_id, other = learner(served, 12), learner(served, 13)
    redis = Redis.from_url(served.settings.need("redis_url"))
    with served.client() as client:
        client.post("/events", json=event(served, user_id)).raise_for_status()
        assert redis.exists(f"user:{user_id}:recent_items")
        client.put(f"/users/{user_id}/opt-out").raise_for_status()
        assert not redis.exists(f"user:{user_id}:recent_items"), "what was remembered is forgotten"
        length = redis.xlen("learnrec:events")
        mixed = client.post("/events", json=[event(served, user_id, 1), event(served, other, 1)])
        statement = {
            "actor": {"account": {"homePage": "https://lms.example", "name": user_id}},
            "verb": {"id": "http://adlnet.gov/expapi/verbs/experienced"},
            "object": {"id": event(served, user_id)["content_id"]},
        }
        told = client.post("/xapi/statements", json=statement, headers={"X-Experience-API-Version": "1.0.3"})
        client.delete(f"/users/{user_id}/opt-out").raise_for_status()

    assert mixed.status_code == 202, mixed.text
    assert mixed.json()["not_stored"] == mixed.json()["event_ids"][:1]
    assert redis.xlen("learnrec:events") == length + 1
    assert not redis.exists(f"user:{user_id}:recent_items")
    assert (told.status_code, told.headers.get("Learnrec-Unmapped")) == (200, "0: the learner opted out"), told.text


def test_somebody_unknown_may_opt_out_beforehand(served: House) -> None:
    with served.client() as client:
        client.put("/users/Not%20here%20yet/opt-out").raise_for_status()
        refused = client.post("/events", json=event(served, "Not here yet")).json()
        client.delete("/users/Not%20here%20yet/opt-out").raise_for_status()
        taken = client.post("/events", json=event(served, "Not here yet")).json()
    assert (len(refused["not_stored"]), taken["not_stored"]) == (1, [])


def test_nobody_opts_out_for_another(served: House) -> None:
    with served.client(learner(served, 14), Role.LEARNER) as client:
        answers: list[httpx.Response] = [
            client.put(f"/users/{learner(served, 15)}/opt-out"),
            client.delete(f"/users/{learner(served, 15)}/opt-out"),
        ]
    assert [answer.status_code for answer in answers] == [403, 403]
    with psycopg.connect(served.settings.need("postgres_url")) as database:
        row = database.execute("SELECT opted_out_at FROM users WHERE user_id = %s", [learner(served, 15)]).fetchone()
    assert row == (None,)
