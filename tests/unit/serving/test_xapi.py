"""What statements of the Experience API become."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from app.errors import InvalidInput
from app.serving.schemas import EventIn
from app.serving.xapi import STATEMENTS, Mapping, Result, Statement

ADL = "http://adlnet.gov/expapi/verbs/"
USUAL = Mapping.load(None)


def statement(verb: str = ADL + "experienced", activity: str = "http://lms.example/c/7", **more: Any) -> dict[str, Any]:
    actor = {"objectType": "Agent", "account": {"homePage": "http://lms.example", "name": "ann"}}
    return {"actor": actor, "verb": {"id": verb}, "object": {"id": activity}, **more}


def event_of(said: dict[str, Any], mapping: Mapping = USUAL) -> EventIn | str:
    return mapping.event_of(Statement.model_validate(said), event_id="e-1")


@pytest.mark.parametrize(
    ("verb", "result", "kind", "value"),
    [
        (ADL + "experienced", None, "view", None),
        (ADL + "completed", {"completion": True}, "complete", None),
        (ADL + "passed", {"score": {"scaled": 0.9}}, "quiz_score", 0.9),
        (ADL + "passed", None, "quiz_score", 1.0),
        (ADL + "failed", {"score": {"scaled": -0.5}}, "quiz_score", 0.0),
        (ADL + "failed", None, "quiz_score", 0.0),
        (ADL + "answered", {"success": True}, "quiz_score", 1.0),
        (ADL + "answered", {"score": {"raw": 15, "min": 10, "max": 20}}, "quiz_score", 0.5),
        ("http://activitystrea.ms/schema/1.0/like", None, "like", None),
        ("http://id.tincanapi.com/verb/rated", {"score": {"raw": 4, "max": 5}}, "like", None),
    ],
)
def test_verbs_become_events(verb: str, result: dict[str, Any] | None, kind: str, value: float | None) -> None:
    said = statement(verb, timestamp="2026-03-01T10:00:00Z")
    event = event_of(said | ({"result": result} if result else {}))

    assert isinstance(event, EventIn)
    assert (event.event_type, event.value) == (kind, value)
    assert (event.user_id, event.content_id, event.event_id) == ("ann", "http://lms.example/c/7", "e-1")
    assert event.ts is not None
    assert event.ts.isoformat() == "2026-03-01T10:00:00+00:00"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (statement(ADL + "voided"), "verb is not mapped"),
        (statement(ADL + "answered"), "score is missing"),
        (statement("http://id.tincanapi.com/verb/rated", result={"score": {"scaled": 0.2}}), "score is too low"),
        (statement(activity="http://lms.example/" + "c" * 60), "no id of 1 to 64"),
        ({**statement(), "object": {"objectType": "StatementRef", "id": "a" * 8 + "-0000-0000-0000-" + "0" * 12}},
         "object is no Activity"),
        ({**statement(), "actor": {"objectType": "Group", "member": []}}, "no id of 1 to 64"),
    ],
)  # fmt: skip
def test_what_has_no_event_has_a_reason(said: dict[str, Any], reason: str) -> None:
    found = event_of(said)
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.parametrize(
    "broken",
    [
        {"verb": {"id": "completed"}},
        {"actor": {"name": "ann"}},
        {"actor": {"mbox": "ann@lms.example"}},
        {"actor": {"mbox": "mailto:a@b", "openid": "http://a.example"}},
        {"object": {"definition": {}}},
        {"result": {"score": {"scaled": 2}}},
        {"timestamp": "yesterday"},
        {"id": "1"},
        {"colour": "blue"},
    ],
)
def test_statements_that_are_none_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        STATEMENTS.validate_python([statement() | broken])


def test_a_mapping_of_ones_own_adds_to_the_usual_one_and_goes_before_it(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'strip = ["http://lms.example/c/"]\n'
        '[verbs."http://lms.example/watched"]\nevent_type = "view"\n'
        f'[verbs."{ADL}experienced"]\nevent_type = "complete"\n'
    )
    mapping = Mapping.load(own)

    watched, experienced = event_of(statement("http://lms.example/watched"), mapping), event_of(statement(), mapping)

    assert isinstance(watched, EventIn)
    assert isinstance(experienced, EventIn)
    assert (watched.event_type, watched.content_id) == ("view", "7")
    assert experienced.event_type == "complete"
    assert isinstance(event_of(statement(ADL + "completed"), mapping), EventIn)


@pytest.mark.parametrize("text", ["verbs = 3", "[verbs.x]\nevent_type = 'sing'", "not toml"])
def test_a_mapping_that_is_none_is_said_to_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InvalidInput, match=r"own\.toml is no mapping"):
        Mapping.load(tmp_path / "own.toml")


def test_a_score_beyond_its_bounds_counts_as_the_bound() -> None:
    assert Result.model_validate({"score": {"raw": 30, "min": 10, "max": 20}}).share == 1.0
    assert Result.model_validate({"score": {"raw": 3}}).share is None
