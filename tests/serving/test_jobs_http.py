"""The jobs that an administrator starts over HTTP run on the cluster that serves."""

from typing import Any

import httpx
import pytest

from app.serving.access import Role
from tests.serving.conftest import House
from tests.serving.waiting import until

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")


def ended(client: httpx.Client, path: str) -> dict[str, Any]:
    until(lambda: client.get(path).raise_for_status().json()["status"] in ENDED, seconds=120)
    return client.get(path).json()


def test_reindexing_is_started_reported_on_and_not_started_twice(served: House) -> None:
    with served.client("the-admin", Role.ADMIN) as client:
        answer = client.post("/admin/reindex")
        again = client.post("/admin/reindex", json={"incremental": True})
        report = ended(client, answer.headers["location"])
    assert answer.status_code == 202
    assert answer.json()["job"] == "build_index"
    assert again.status_code == 409
    assert answer.json()["id"] in again.json()["detail"]
    assert report["status"] == "SUCCEEDED", report
    assert report["started_at"] < report["ended_at"]
    assert report["requested_by"]


def test_a_training_that_fails_says_so_in_its_report(served: House) -> None:
    """The house's releases were not made by jobs: there are no features to train on."""
    with served.client("the-admin", Role.ADMIN) as client:
        answer = client.post("/admin/train", json={"model": "retrieval"})
        report = ended(client, f"/admin/jobs/{answer.json()['id']}")
    assert answer.status_code == 202
    with served.client("the-analyst", Role.ANALYST) as reader:
        assert reader.get(f"/admin/jobs/{answer.json()['id']}").json() == report
        assert reader.post("/admin/train").status_code == 403
        assert reader.get("/recommend/the-analyst").status_code == 403
    assert (report["job"], report["status"]) == ("train_retrieval", "FAILED")


@pytest.mark.parametrize("role", [Role.LEARNER, Role.SERVICE])
def test_nobody_but_an_administrator_starts_or_sees_jobs(served: House, role: Role) -> None:
    with served.client("somebody", role) as client:
        answers = [client.post("/admin/train"), client.post("/admin/reindex"), client.get("/admin/jobs/any")]
    assert [answer.status_code for answer in answers] == [403, 403, 403]


def test_what_is_wrong_is_said(served: House) -> None:
    with served.client("the-admin", Role.ADMIN) as client:
        unknown = client.get("/admin/jobs/raysubmit_nothing")
        faulty = client.post("/admin/train", json={"model": "everything"})
    assert unknown.status_code == 404
    assert "raysubmit_nothing" in unknown.json()["detail"]
    assert faulty.status_code == 422
    assert "retrieval" in faulty.json()["detail"]
