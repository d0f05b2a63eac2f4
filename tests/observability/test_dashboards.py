"""Dashboards and rules as they lie there: made from their sources, and of metrics that there are."""

import json
import re
from pathlib import Path

import pytest

from app.serving.metrics import Metrics
from deploy.observability import generate
from tests.observability.tools import OBSERVABILITY

BOARDS = sorted((OBSERVABILITY / "grafana").glob("*.json"))
RULES = sorted((OBSERVABILITY / "rules").glob("*.yml"))
_OURS = re.compile(r"\blearnrec_[a-z_]+")


def exposed() -> set[str]:
    """Names of all series that there may be of ours."""
    names = Metrics().registry._names_to_collectors
    return {name for name in names if name.startswith("learnrec_")}


@pytest.mark.parametrize("path", list(generate.files()), ids=lambda path: path.name)
def test_what_is_generated_is_up_to_date(path: Path) -> None:
    expected = generate.files()[path]
    assert path.read_text() == expected, "make it again: python -m deploy.observability.generate"


def test_there_is_nothing_but_what_is_generated() -> None:
    assert set(BOARDS) == {path for path in generate.files() if path.suffix == ".json"}


@pytest.mark.parametrize("path", [*BOARDS, *RULES], ids=lambda path: path.name)
def test_every_metric_that_is_asked_for_is_one_that_the_service_has(path: Path) -> None:
    asked = set(_OURS.findall(path.read_text()))
    known = exposed()
    assert asked <= known


def test_panels_of_a_board_have_their_own_places_and_numbers() -> None:
    for path in BOARDS:
        panels = json.loads(path.read_text())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
        assert all(panel["targets"] for panel in panels)
