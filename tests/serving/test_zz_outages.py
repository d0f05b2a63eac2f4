"""What the service answers while its stores and stages are frozen or dead. The dead stay dead: runs late."""

import time

import httpx
import pytest

from app.serving.access import Role
from tests.serving.asking import ask, frozen, is_whole
from tests.serving.conftest import House
from tests.serving.tiny import FIRST
from tests.serving.waiting import until

REGISTRY_ROUND_S = 7.0
"""A replica asks every two seconds and waits five for the answer."""


@pytest.mark.parametrize(
    ("store", "label"), [("milvus_uri", "milvus"), ("redis_url", "redis"), ("postgres_url", "postgres")]
)
def test_a_frozen_store_is_named_and_forgotten_when_it_thaws(served: House, store: str, label: str) -> None:
    until(lambda: is_whole(served), seconds=20)
    with frozen(served.processes(store)):
        bodies = [ask(served) for _ in range(6)]
        assert all(label in body["degraded"] and len(body["items"]) == 10 for body in bodies)
        until(lambda: (body := ask(served))["degraded"] == [label] and body["served_by"] == "ranker", seconds=20)
        until(lambda: served.health()["dependencies"][label] == "down", seconds=20)
    assert until(lambda: is_whole(served), seconds=20) < 10


def test_a_frozen_registry_is_named_all_the_while_and_the_release_is_held(served: House) -> None:
    until(lambda: is_whole(served), seconds=20)
    with frozen(served.processes("mlflow_uri")):
        until(lambda: mlflow_is(served, "down"), seconds=30)
        deadline = time.monotonic() + 2 * REGISTRY_ROUND_S
        while time.monotonic() < deadline:
            assert mlflow_is(served, "down"), "it is asked again, but it has not answered"
            assert is_whole(served)
        assert (served.health()["ready"], served.health()["release"]) == (True, FIRST)
    assert until(lambda: mlflow_is(served, "ok"), seconds=30) < 15


def mlflow_is(house: House, word: str) -> bool:
    return house.health()["dependencies"]["mlflow"] == word


def test_a_killed_ranker_is_replaced_and_nobody_goes_without(served: House) -> None:
    victim = served.replicas("ServeReplica:learnrec:Ranker")
    assert len(victim) == 1
    victim[0].kill()
    seen = [ask(served) for _ in range(10)]
    assert all(len(body["items"]) == 10 for body in seen)
    assert {tuple(body["degraded"]) for body in seen} <= {(), ("ranker",)}
    assert {body["served_by"] for body in seen} <= {"ranker", "retrieval"}
    until(lambda: is_whole(served) and served.health()["ready"], seconds=60)


def test_with_the_registry_dead_a_new_replica_takes_what_the_node_has(served: House) -> None:
    for process in served.processes("mlflow_uri"):
        process.kill()
    until(lambda: mlflow_is(served, "down"), seconds=20)
    (before,) = served.replicas("ServeReplica:learnrec:Retriever")
    before.kill()
    until(lambda: {p.pid for p in served.replicas("ServeReplica:learnrec:Retriever")} - {before.pid}, seconds=60)
    until(lambda: served.health()["ready"] and is_whole(served), seconds=60)
    assert (ask(served)["release"], mlflow_is(served, "down")) == (FIRST, True)


def test_the_dead_are_named_and_the_answer_is_200(served: House) -> None:
    for store, label in (("milvus_uri", "milvus"), ("postgres_url", "postgres"), ("redis_url", "redis")):
        for process in served.processes(store):
            process.kill()
        body = ask(served)
        assert label in body["degraded"]
        assert len(body["items"]) == 10
    assert ask(served)["degraded"] == ["postgres", "redis", "milvus"]
    with served.client("ada", Role.LEARNER) as client:
        assert client.get("/recommend/ada").json()["served_by"] == "popular"
        spooled = client.post("/events", json={"user_id": "ada", "content_id": "c", "event_type": "like"})
    assert spooled.status_code == 202, "an event that is on the disk is accepted"
    assert spooled.json()["degraded"] == ["event_log", "redis"]
    health = httpx.get(f"{served.url}/health", trust_env=False).raise_for_status().json()
    assert health["live"]
