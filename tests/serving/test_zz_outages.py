"""What the service answers while its stores and stages are frozen or dead. The dead stay dead: runs late."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import psutil
import pytest

from app.serving.access import Role
from tests.serving.conftest import House
from tests.serving.waiting import until


def ask(house: House, number: int = 3) -> dict[str, Any]:
    user_id = house.tiny.world.users["user_id"][number].as_py()
    with house.client() as client:
        return client.get(f"/recommend/{user_id}").raise_for_status().json()


@contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    assert processes
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def is_whole(house: House) -> bool:
    body = ask(house)
    return (body["served_by"], body["degraded"]) == ("ranker", [])


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


def test_a_killed_ranker_is_replaced_and_nobody_goes_without(served: House) -> None:
    victim = served.replicas("ServeReplica:learnrec:Ranker")
    assert len(victim) == 1
    victim[0].kill()
    seen = [ask(served) for _ in range(10)]
    assert all(len(body["items"]) == 10 for body in seen)
    assert {tuple(body["degraded"]) for body in seen} <= {(), ("ranker",)}
    assert {body["served_by"] for body in seen} <= {"ranker", "retrieval"}
    until(lambda: is_whole(served) and served.health()["ready"], seconds=60)


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
        refused = client.post("/events", json={"user_id": "ada", "content_id": "c", "event_type": "like"})
    assert refused.status_code == 503, "an event that is not in the log must not be said to be accepted"
    assert int(refused.headers["Retry-After"]) > 0
    health = httpx.get(f"{served.url}/health", trust_env=False).raise_for_status().json()
    assert health["live"]
