"""What replicas say on stderr: JSON, with the same fields, and nothing that nobody should read."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.domain.ids import canonical_id
from app.domain.pseudonyms import PseudonymKey
from tests.serving.conftest import PSEUDONYM_KEY, House
from tests.serving.waiting import until

FIELDS = {"time", "level", "logger", "message", "component", "replica", "request_id", "release", "learner", "trace_id"}


def log_of(house: House, word: str) -> str:
    """All that the replicas whose command has `word` in it have said so far."""
    paths = {Path(f"/proc/{process.pid}/fd/2").resolve() for process in house.replicas(word)}
    if not all(path.is_file() for path in paths):
        pytest.skip("where a process's stderr goes is known on Linux only")
    return "\n".join(path.read_text(errors="replace") for path in paths)


def lines(house: House, word: str = "ServeReplica:learnrec:Ingress") -> list[dict[str, Any]]:
    said = (line for line in log_of(house, word).splitlines() if line.startswith("{"))
    return [json.loads(line) for line in said]


def slow(house: House, request_id: str) -> list[dict[str, Any]]:
    return [line for line in lines(house) if line["message"] == "slow request" and line["request_id"] == request_id]


def test_a_slow_request_is_told_with_the_time_of_every_stage(served: House) -> None:
    """Slow is what takes a millisecond, here; of a second's first ten."""
    user_id = served.tiny.world.users["user_id"][6].as_py()

    def told() -> bool:
        with served.client() as client:
            client.get(f"/recommend/{user_id}", headers={"X-Request-ID": "slow-one"}).raise_for_status()
        return bool(slow(served, "slow-one"))

    until(told, seconds=20)
    line = slow(served, "slow-one")[0]
    assert line.keys() >= FIELDS | {"route", "status", "milliseconds", "stages_ms", "served_by", "degraded"}
    assert (line["component"], line["release"], line["route"]) == ("ingress", "first", "/recommend/{user_id}")
    assert line["learner"] == PseudonymKey(PSEUDONYM_KEY.encode()).of(canonical_id(user_id))
    assert {"queue", "postgres", "embedder", "retriever", "ranker"} <= line["stages_ms"].keys()


def test_every_line_has_the_same_fields(served: House) -> None:
    until(lambda: lines(served), seconds=10)
    assert all(line.keys() >= FIELDS for line in lines(served))


def test_no_log_tells_a_secret_or_names_a_learner(served: House) -> None:
    user_id, token = served.tiny.world.users["user_id"][7].as_py(), served.token("somebody-special")
    with served.client() as client:
        client.get(f"/recommend/{user_id}").raise_for_status()
        client.get(f"/recommend/{user_id}", headers={"Authorization": f"Bearer {token}"}).raise_for_status()
        client.get(f"/recommend/{user_id}", headers={"X-Request-ID": "the-end"})
    said = log_of(served, "ServeReplica:learnrec")
    assert said
    for secret in (token, PSEUDONYM_KEY, user_id, canonical_id(user_id), "somebody-special"):
        assert secret not in said
