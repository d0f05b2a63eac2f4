"""Item-to-item tables."""

import numpy as np

from app.features.items import first_meetings
from app.features.learners import EventArrays
from app.features.neighbours import NeighbourTable, neighbour_scores, together, transitions
from tests.unit.features.factory import START, events_of


def path(*contents: int, user: int = 1) -> EventArrays:
    size = len(contents)
    return EventArrays(
        np.full(size, user, np.int32), np.array(contents, np.int32), np.zeros(size, np.int8), START + np.arange(size)
    )


def test_transitions_point_forward_and_fade_with_distance() -> None:
    table = transitions(path(0, 1, 2), num_items=4)
    assert table.index[0, :2].tolist() == [1, 2]
    assert table.weight[0, 0] == 2 * table.weight[0, 1]
    assert table.index[2, 0] == -1


def test_transitions_do_not_cross_learners() -> None:
    events = EventArrays(
        np.array([1, 2], np.int32), np.array([0, 1], np.int32), np.zeros(2, np.int8), START + np.arange(2)
    )
    assert (transitions(events, num_items=2).index == -1).all()


def test_together_is_the_cosine_of_learner_sets() -> None:
    events = EventArrays(
        np.array([1, 1, 2], np.int32), np.array([0, 1, 0], np.int32), np.zeros(3, np.int8), START + np.arange(3)
    )
    table = together(events, num_items=3)
    assert table.index[0, 0] == 1
    assert np.isclose(table.weight[0, 0], 1 / np.sqrt(2))
    assert np.isclose(table.weight[1, 0], 1 / np.sqrt(2))


def test_scores_equal_the_dense_sum() -> None:
    events = events_of(500, num_users=20, num_items=15)
    table = together(events.take(first_meetings(events)), num_items=15)
    rng = np.random.default_rng(0)
    history = rng.integers(-1, 15, (4, 6)).astype(np.int32)
    weight = rng.random((4, 6)).astype(np.float32)

    scores = neighbour_scores(table, history, weight)

    dense = np.zeros((4, 15), np.float32)
    for row, column in zip(*np.nonzero(history >= 0), strict=True):
        for neighbour, strength in zip(
            table.index[history[row, column]], table.weight[history[row, column]], strict=True
        ):
            if neighbour >= 0:
                dense[row, neighbour] += weight[row, column] * strength
    np.testing.assert_allclose(scores.at(np.arange(60)).reshape(4, 15), dense, rtol=1e-5)


def test_an_empty_table_scores_nothing() -> None:
    table = NeighbourTable(np.full((3, 5), -1, np.int32), np.zeros((3, 5), np.float32))
    scores = neighbour_scores(table, np.array([[0, 1]], np.int32), np.ones((1, 2), np.float32))
    assert scores.at(np.arange(3)).tolist() == [0, 0, 0]
