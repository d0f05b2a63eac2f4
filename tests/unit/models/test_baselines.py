"""Baselines against their definitions, and what settings are chosen on."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.features.histories import Histories
from app.features.learners import EventArrays
from app.models.baselines import (
    Past,
    Scores,
    ease,
    ease_weights,
    item_knn,
    item_knn_scores,
    markov,
    popular,
    recent_popular,
    top,
    with_markov,
)
from app.models.factorisation import bpr, ials
from app.models.validation import carve


def past_of(pairs: Sequence[tuple[int, int, int]], *, num_learners: int, num_items: int, timed: bool = True) -> Past:
    user, content, ts = (np.array(column) for column in zip(*pairs, strict=True))
    kind = np.zeros(len(pairs), np.int8)
    events = EventArrays.sort(user.astype(np.int32), content.astype(np.int32), kind, ts.astype(np.int64))
    return Past(events, num_learners, num_items, timed)


DAY = 86_400
PAST = past_of(
    [(0, 0, 0), (0, 1, DAY), (1, 0, 0), (1, 1, DAY), (1, 2, 9 * DAY), (2, 0, 10 * DAY)], num_learners=4, num_items=4
)
ROWS = np.arange(4)


def random_past(seed: int, *, num_learners: int = 30, num_items: int = 12, timed: bool = True) -> Past:
    rng = np.random.default_rng(seed)
    met = rng.random((num_learners, num_items)) < 0.3
    user, content = np.nonzero(met)
    times = rng.permutation(len(user))
    return past_of(
        list(zip(user.tolist(), content.tolist(), times.tolist(), strict=True)),
        num_learners=num_learners,
        num_items=num_items,
        timed=timed,
    )


def test_popular_counts_learners_and_recent_popular_those_of_the_last_days() -> None:
    assert popular(PAST)(ROWS[:1]).tolist() == [[3, 2, 1, 0]]
    recent = recent_popular(PAST)(ROWS[:2])
    assert np.argsort(-recent[0], kind="stable").tolist() == [0, 2, 1, 3]
    assert (recent[0] == recent[1]).all()


def test_markov_knows_what_followed_the_last_one() -> None:
    scores = markov(PAST)(ROWS)
    assert scores[2].argmax() == 1  # after 0 came 1, twice
    assert scores[0].argmax() == 2  # after 1 came 2
    assert scores[3].argmax() == 0  # of nobody without a past anything is known but what is popular


def test_ease_is_a_ridge_regression_of_each_content_on_the_others() -> None:
    past = random_past(3)
    gram = past.gram.toarray()
    weights = ease_weights(past.gram, regularization=5.0)
    assert np.abs(np.diag(weights)).max() == 0
    for target in range(past.num_items):
        others = np.delete(np.arange(past.num_items), target)
        ridge = gram[np.ix_(others, others)] + 5.0 * np.eye(len(others))
        assert weights[others, target] == pytest.approx(np.linalg.solve(ridge, gram[others, target]), abs=1e-5)


def test_ease_and_markov_together_weigh_both_alike() -> None:
    likes = ease(PAST, regularization=1.0)
    both = with_markov(PAST, likes)(ROWS)
    scaled = likes(ROWS) / np.maximum(likes(ROWS).max(1, keepdims=True), 1e-9)
    follows = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]])
    assert both == pytest.approx(scaled + follows, abs=1e-6)


def test_item_knn_is_the_same_dense_and_sparse() -> None:
    past = random_past(5)
    rows = np.arange(past.num_learners, dtype=np.int32)
    sparse = item_knn_scores(past.pairs, Histories.of(past.pairs, rows), num_items=past.num_items)(np.arange(len(rows)))
    assert item_knn(past)(rows.astype(np.int64)) == pytest.approx(sparse, abs=1e-5)


@pytest.mark.parametrize(
    "fit",
    [
        lambda past: ials(past, factors=8, alpha=10.0, num_iterations=5),
        lambda past: bpr(past, factors=8, learning_rate=0.1, num_epochs=40),
    ],
    ids=["ials", "bpr"],
)
def test_factors_find_the_two_groups_and_are_the_same_again(fit: Callable[[Past], Scores]) -> None:
    rng = np.random.default_rng(0)
    pairs = [(u, c + 10 * (u % 2), int(t)) for u in range(60) for t, c in enumerate(rng.choice(10, 6, replace=False))]
    past = past_of(pairs, num_learners=60, num_items=20)
    rows = np.arange(60)
    scores = fit(past)(rows)
    assert (scores == fit(past)(rows)).all()
    best = top(scores, Histories.of(past.pairs, rows.astype(np.int32)), limit=3)
    assert ((best >= 10) == (rows % 2 == 1)[:, None]).mean() > 0.7  # 4 of 14 would be by chance


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 15))
def test_top_is_the_head_of_a_stable_sort(seed: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (3, 12)).astype(np.float32)
    known = [np.sort(rng.permutation(12)[: rng.integers(0, 13)]).astype(np.int32) for _ in range(3)]
    histories = Histories(np.r_[0, np.cumsum([len(k) for k in known])], np.concatenate(known))
    found = top(scores, histories, limit=limit)
    for row, seen, values in zip(found, known, scores, strict=True):
        order = [i for i in np.argsort(-values, kind="stable").tolist() if i not in seen.tolist()][:limit]
        assert row.tolist() == order + [-1] * (min(limit, 12) - len(order))


@pytest.mark.parametrize("timed", [True, False])
def test_validation_is_carved_from_training_and_leaves_the_rest(timed: bool) -> None:
    past = random_past(7, timed=timed)
    validation = carve(past)
    assert validation is not None
    again = carve(past)
    assert again is not None
    assert [r.tolist() for r in again.relevant] == [r.tolist() for r in validation.relevant]
    gone = past.matrix - validation.past.matrix
    assert gone.min() == 0
    for row, given_away in zip(validation.rows, validation.relevant, strict=True):
        assert sorted(gone[row].nonzero()[1]) == sorted(given_away.tolist())
        assert len(given_away) == 1
        if timed:
            assert given_away[0] == past.last[row]
    assert gone.nnz == len(validation.rows)


def test_of_a_temporal_split_validation_is_the_last_tenth_of_time() -> None:
    past = random_past(11, num_learners=40)
    validation = carve(past, temporal=True)
    assert validation is not None
    cut = np.quantile(past.pairs.ts, 0.9)
    assert validation.past.pairs.ts.max() < cut
    assert len(validation.past.pairs) == (past.pairs.ts < cut).sum()
    for row, later in zip(validation.rows, validation.relevant, strict=True):
        mine = past.pairs.user == row
        assert sorted(past.pairs.content[mine & (past.pairs.ts >= cut)]) == sorted(later.tolist())
        assert (mine & (past.pairs.ts < cut)).any()


def test_of_timeless_data_a_tenth_is_given_away() -> None:
    past = past_of([(0, c, 0) for c in range(50)], num_learners=1, num_items=50, timed=False)
    validation = carve(past)
    assert validation is not None
    assert len(validation.relevant[0]) == 5
    assert len(validation.known.content) == 45


def test_without_histories_there_is_nothing_to_choose_on() -> None:
    assert carve(past_of([(0, 0, 0), (0, 1, 1)], num_learners=1, num_items=2)) is None
