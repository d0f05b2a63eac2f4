"""Scores by key: sums over neighbours, the best of each learner, what is barred; in an array and by sorting."""

import numpy as np
import pytest
import scipy.sparse as sp

from app.features import scores
from app.features.items import first_meetings
from app.features.neighbours import NeighbourTable, together
from app.features.scores import KeySet, SparseScores, neighbour_scores
from tests.unit.features.factory import events_of

EVENTS = events_of(500, num_users=20, num_items=15)
TABLE = together(EVENTS.take(first_meetings(EVENTS)), num_items=15)
ALL = np.arange(60)


@pytest.fixture(params=[True, False], ids=["array", "sorted"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(scores, "MAX_DENSE", 0)
    return


def test_scores_equal_the_matrix_product(either: None) -> None:
    weights = np.random.default_rng(0).random((2, 60)).astype(np.float32)
    found = neighbour_scores(TABLE, ALL, list(weights), num_learners=4)
    for one, weight in zip(found, weights, strict=True):
        product = weight.reshape(4, 15) @ TABLE.matrix().toarray()
        np.testing.assert_allclose(one.at(ALL).reshape(4, 15), product, rtol=1e-5, atol=1e-7)


def test_an_array_and_sorting_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = np.random.default_rng(1).random(60).astype(np.float32)
    (by_array,) = neighbour_scores(TABLE, ALL, [weight], num_learners=4)
    monkeypatch.setattr(scores, "MAX_DENSE", 0)
    (by_sorting,) = neighbour_scores(TABLE, ALL, [weight], num_learners=4)
    np.testing.assert_array_equal(by_array.key, by_sorting.key)
    np.testing.assert_array_equal(by_array.value, by_sorting.value)


def test_what_something_speaks_against_is_never_among_the_best() -> None:
    found = SparseScores(np.array([0, 1, 2, 6]), np.array([0.5, -1.0, 2.0, -0.1], np.float32), 4)
    assert found.best(2, 3).tolist() == [2, 0]


def test_the_best_of_each_learner_come_first_and_without_what_is_barred(either: None) -> None:
    found = SparseScores(np.array([1, 2, 4, 10, 11, 13]), np.array([1, 3, 2, 5, 5, 9], np.float32), num_items=5)
    assert found.best(3, 2).tolist() == [2, 4, 13, 10]
    assert found.without(KeySet(np.array([13, 2, 2]), space=15)).best(3, 5).tolist() == [4, 1, 10, 11]
    assert found.without(KeySet(np.array([], np.int64), space=15)).best(3, 1).tolist() == [2, 13]


def test_an_empty_table_scores_nothing(either: None) -> None:
    table = NeighbourTable.of(sp.csr_matrix((3, 3), dtype=np.float32), width=5)
    (found,) = neighbour_scores(table, np.arange(3), [np.ones(3, np.float32)], num_learners=1)
    assert found.at(np.arange(3)).tolist() == [0, 0, 0]
    assert found.best(1, 2).tolist() == []


def test_who_met_nothing_has_no_scores(either: None) -> None:
    (found,) = neighbour_scores(TABLE, np.array([], np.int64), [np.array([], np.float32)], num_learners=2)
    assert len(found.key) == 0
    assert found.best(2, 3).tolist() == []
