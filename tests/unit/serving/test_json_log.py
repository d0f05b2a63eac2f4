"""Lines of the log: JSON, always with the same fields; slow requests are told, but not all of them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.pseudonyms import PseudonymKey
from app.domain.slates import ServedBy, Slate
from app.serving.json_log import FIELDS, OURS, SAID_OF, set_up
from app.serving.observer import MAX_SLOW_PER_S, SlowRequests
from app.serving.question import Answer

KEY = PseudonymKey(b"a key that is long enough to be one")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> Iterator[Any]:
    """Gives the lines that were said, once."""
    stream, ours = io.StringIO(), logging.getLogger(OURS)
    before = (ours.handlers[:], ours.level, ours.propagate)
    listener = set_up("ingress", "abc", stream=stream)

    def said() -> list[dict[str, Any]]:
        listener.stop()
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield said
    ours.handlers[:], ours.level, ours.propagate = before


def test_a_line_says_where_it_comes_from_and_of_what(log: Any) -> None:
    SAID_OF.set({"request_id": "r-1"})
    logging.getLogger("app.serving.anything").warning("%d went wrong", 3)
    SAID_OF.set({})
    (line,) = log()
    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "app.serving.anything", "3 went wrong")
    assert (line["component"], line["replica"], line["request_id"], line["release"]) == ("ingress", "abc", "r-1", None)
    assert line.keys() == {"time", "level", "logger", "message", "component", "replica", *FIELDS}


def test_an_exception_is_one_line_too(log: Any) -> None:
    try:
        raise ValueError("what\nnow")
    except ValueError:
        logging.getLogger("app.x").exception("failed")
    (line,) = log()
    assert "ValueError: what" in json.dumps(line)


def scope(request_id: str) -> dict[str, Any]:
    slate = Slate("ada", "r1", (), ServedBy.RETRIEVAL, ("ranker",))
    return {"request_id": request_id, "span": None, "answer": Answer(slate, {"ranker": 40.0})}


def test_a_slow_request_is_told_with_its_stages_and_a_pseudonym(log: Any) -> None:
    slow = SlowRequests(0.5, KEY)
    slow.tell(scope("r-2"), method="GET", route="/recommend/{user_id}", status=200, seconds=0.75)
    (line,) = log()
    assert (line["request_id"], line["release"], line["milliseconds"]) == ("r-2", "r1", 750.0)
    assert (line["stages_ms"], line["served_by"], line["degraded"]) == ({"ranker": 40.0}, "retrieval", ["ranker"])
    assert line["learner"] == KEY.of("ada")
    assert "ada" not in json.dumps(line)


def test_where_everything_is_slow_a_few_lines_a_second_say_so(log: Any) -> None:
    clock = Clock()
    slow = SlowRequests(0.5, KEY, clock)
    for number in range(100):
        slow.tell(scope(f"r-{number}"), method="GET", route="/r", status=200, seconds=1)
    clock.now += 1
    slow.tell(scope("the next second"), method="GET", route="/r", status=200, seconds=1)
    lines = log()
    assert len(lines) == MAX_SLOW_PER_S + 1
    assert lines[-1]["left_out"] == 100 - MAX_SLOW_PER_S
