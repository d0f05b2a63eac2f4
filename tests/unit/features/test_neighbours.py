"""Item-to-item tables."""

import numpy as np
import pytest
import scipy.sparse as sp

from app.features import neighbours
from app.features.items import first_meetings
from app.features.learners import EventArrays
from app.features.neighbours import NeighbourTable, together, transitions
from tests.unit.features.factory import START, events_of


def path(*contents: int, user: int = 1) -> EventArrays:
    size = len(contents)
    return EventArrays(
        np.full(size, user, np.int32), np.array(contents, np.int32), np.zeros(size, np.int8), START + np.arange(size)
    )


def dense(table: NeighbourTable) -> np.ndarray:
    return table.matrix().toarray()


def test_transitions_point_forward_and_fade_with_distance() -> None:
    table = dense(transitions(path(0, 1, 2), num_items=4))
    assert table[0, 1] == 2 * table[0, 2] > 0
    assert not table[2:].any()


def test_transitions_do_not_cross_learners() -> None:
    events = EventArrays(
        np.array([1, 2], np.int32), np.array([0, 1], np.int32), np.zeros(2, np.int8), START + np.arange(2)
    )
    assert not dense(transitions(events, num_items=2)).any()


def test_the_linear_model_is_the_ridge_regression_of_each_content_on_the_others() -> None:
    events = events_of(800, num_users=60, num_items=12)
    pairs = events.take(first_meetings(events))
    met = np.zeros((61, 12))
    met[pairs.user, pairs.content] = 1
    root = np.sqrt(met.sum(0))
    ridge = neighbours.RIDGE * root.mean() * root

    table = dense(together(pairs, num_items=12))

    for content in range(12):
        others = np.delete(np.arange(12), content)
        gram = met[:, others].T @ met[:, others] + np.diag(ridge[others])
        solved = np.linalg.solve(gram, met[:, others].T @ met[:, content])
        np.testing.assert_allclose(table[others, content], solved, atol=1e-5)
        assert table[content, content] == 0


def test_contents_beyond_the_linear_model_have_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MAX_LINEAR", 2)
    events = [path(0, 1, user=1), path(0, 1, user=2), path(0, 2, user=3)]
    pairs = EventArrays(
        *(np.concatenate([getattr(e, n) for e in events]) for n in ("user", "content", "event_type", "ts"))
    )
    table = dense(together(pairs, num_items=4))
    assert np.isclose(table[0, 2], 1 / np.sqrt(3))
    assert np.isclose(table[2, 0], 1 / np.sqrt(3))
    assert 0 < table[0, 1] < 1
    assert not table[3].any()


def test_only_the_greatest_of_a_row_are_kept_of_either_sign() -> None:
    matrix = sp.csr_matrix(np.array([[0, 3, 1, -2], [0, 0, 0, 0], [5, 0, 0, 4], [1, 1, 1, 0]], np.float32))
    table = NeighbourTable.of(matrix, width=2)
    assert dense(table).tolist() == [[0, 3, 0, -2], [0, 0, 0, 0], [5, 0, 0, 4], [1, 1, 0, 0]]


def test_nothing_met_makes_an_empty_table() -> None:
    nothing = path()
    assert not dense(together(nothing, num_items=3)).any()
    assert not dense(transitions(nothing, num_items=3)).any()
