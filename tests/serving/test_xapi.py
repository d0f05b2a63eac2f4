"""Statements of the Experience API over HTTP."""

from typing import Any
from uuid import uuid4

import pytest

from app.serving.access import Role
from tests.serving.conftest import House

VERSION = {"X-Experience-API-Version": "1.0.3"}
COMPLETED, VOIDED = "http://adlnet.gov/expapi/verbs/completed", "http://adlnet.gov/expapi/verbs/voided"


def statement(house: House, learner: str, verb: str = COMPLETED, **more: Any) -> dict[str, Any]:
    content = house.tiny.world.contents["content_id"][0].as_py()
    account = {"homePage": "http://lms.example", "name": learner}
    return {"actor": {"account": account}, "verb": {"id": verb}, "object": {"id": f"urn:uuid:{content}"}, **more}


def test_what_was_completed_elsewhere_is_gone_from_the_next_recommendation(served: House) -> None:
    learner, own_id = f"xapi-{uuid4().hex[:8]}", str(uuid4())
    with served.client() as client:
        one = client.post("/xapi/statements", json=statement(served, learner, id=own_id), headers=VERSION)
        several = client.post(
            "/xapi/statements",
            json=[statement(served, learner, VOIDED), statement(served, learner)],
            headers=VERSION,
        )
        listed = client.get(f"/recommend/{learner}", params={"k": 100}).raise_for_status().json()["items"]
    assert statement(served, learner)["object"]["id"].removeprefix("urn:uuid:") not in {i["content_id"] for i in listed}
    assert listed
    assert one.status_code == several.status_code == 200, one.text + several.text
    assert one.json() == [own_id]
    assert len(several.json()) == 2
    assert one.headers["X-Experience-API-Version"] == "1.0.3"
    assert several.headers["Learnrec-Unmapped"] == "0: verb is not mapped"


@pytest.mark.parametrize(
    ("headers", "change", "where"),
    [
        ({}, {}, None),
        (VERSION, {"verb": {"id": "no iri"}}, "1.verb.id"),
        (VERSION, {"timestamp": "2099-01-01T00:00:00Z"}, "1"),
    ],
)
def test_one_that_is_none_stops_all_and_is_named(
    served: House, headers: dict[str, str], change: dict[str, Any], where: str | None
) -> None:
    body = [statement(served, "ada"), statement(served, "ada") | change]
    with served.client() as client:
        answer = client.post("/xapi/statements", json=body, headers=headers)
    assert answer.status_code == 400
    if where:
        assert [fault["where"] for fault in answer.json()["errors"]] == [where]


def test_a_learner_speaks_for_nobody_else(served: House) -> None:
    with served.client("ada", Role.LEARNER) as client:
        assert client.post("/xapi/statements", json=statement(served, "ben"), headers=VERSION).status_code == 403
        assert client.post("/xapi/statements", json=statement(served, "ada"), headers=VERSION).status_code == 200
