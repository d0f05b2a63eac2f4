"""What is shown, and in which order."""

from collections.abc import Iterable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.domain.slates import EVIDENCE, SOURCES, Candidates, Source
from app.policy.order import Order, Shelf, completed_index, filled, ordered

NOBODY = np.zeros((1, 0), np.int32)
POPULAR = SOURCES.index(Source.POPULAR)


def candidates(*rows: list[int]) -> Candidates:
    width = max(map(len, rows))
    index = np.array([row + [-1] * (width - len(row)) for row in rows], np.int32)
    score = np.where(index >= 0, 1.0, -np.inf).astype(np.float32)
    return Candidates(index, score, np.zeros(index.shape, np.int8), np.zeros((*index.shape, len(EVIDENCE)), np.float32))


def shelf(size: int) -> Shelf:
    """Content 0 is the most popular, overall and in cohort 1 the other way round."""
    order = np.arange(size, dtype=np.int32)
    return Shelf(np.stack([order, order[::-1]]), np.linspace(1, 0.1, size, dtype=np.float32))


def test_candidates_are_shown_best_first() -> None:
    scores = np.array([[0.1, 0.9, 0.5]], np.float32)
    order = ordered(candidates([7, 8, 9]), scores, limit=2)
    assert order.index.tolist() == [[8, 9]]
    np.testing.assert_allclose(order.score, [[0.9, 0.5]])


def test_equal_scores_keep_the_order_of_retrieval() -> None:
    order = ordered(candidates([7, 8, 9]), np.zeros((1, 3), np.float32), limit=3)
    assert order.index.tolist() == [[7, 8, 9]]


def test_padding_and_what_has_no_score_are_never_shown() -> None:
    scores = np.array([[np.nan, 0.2, 0.9], [0.1, -np.inf, 0.3]], np.float32)
    order = ordered(candidates([1, 2], [3, 4, 5]), scores, limit=5)
    assert order.index.tolist() == [[2, -1, -1, -1, -1], [5, 3, -1, -1, -1]]


def test_a_short_slate_is_filled_with_what_is_popular_and_says_so() -> None:
    short = ordered(candidates([3]), np.array([[0.5]], np.float32), limit=4)
    order = filled(short, shelf(6), cohort_index=np.array([0]), exclude=np.array([[1]], np.int32))
    assert order.index.tolist() == [[3, 0, 2, 4]]
    assert order.source.tolist() == [[0, POPULAR, POPULAR, POPULAR]]


def test_popular_means_popular_in_the_cohort_where_there_is_one() -> None:
    order = filled(Order.empty(3, 2), shelf(6), cohort_index=np.array([0, 1, 9]), exclude=np.full((3, 0), -1, np.int32))
    assert order.index.tolist() == [[0, 1], [5, 4], [0, 1]]


def test_beyond_the_popular_list_comes_the_rest_of_the_catalogue() -> None:
    two = Shelf(np.array([[4, 2]], np.int32), shelf(6).popularity)
    order = filled(Order.empty(1, 6), two, cohort_index=np.array([0]), exclude=np.array([[0]], np.int32))
    assert order.index.tolist() == [[4, 2, 1, 3, 5, -1]]


def test_whoever_completed_everything_sees_it_again_rather_than_nothing() -> None:
    order = filled(Order.empty(1, 2), shelf(3), cohort_index=np.array([0]), exclude=np.array([[0, 1, 2]], np.int32))
    assert order.index.tolist() == [[0, 1]]


def test_an_empty_catalogue_gives_an_empty_slate() -> None:
    nothing = Shelf(np.zeros((1, 0), np.int32), np.zeros(0, np.float32))
    order = filled(Order.empty(1, 3), nothing, cohort_index=np.array([0]), exclude=NOBODY)
    assert order.index.tolist() == [[-1, -1, -1]]


def test_what_was_completed_is_looked_up_in_one_go_and_padded() -> None:
    def index_of(ids: Iterable[str]) -> NDArray[np.int32]:
        return np.array([{"a": 4, "b": 5}.get(i, -1) for i in ids], np.int32)

    assert completed_index([["a", "z"], [], ["b"]], index_of).tolist() == [[4, -1], [-1, -1], [5, -1]]
    assert completed_index([[], []], index_of).shape == (2, 0)


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 12),
    limit=st.integers(1, 15),
    chosen=st.sets(st.integers(0, 11)),
    done=st.sets(st.integers(0, 11)),
)
def test_no_slate_is_empty_repeats_an_item_or_shows_what_was_completed_while_there_is_anything_else(
    size: int, limit: int, chosen: set[int], done: set[int]
) -> None:
    done, chosen = {c for c in done if c < size}, {c for c in chosen if c < size} - done
    row = sorted(chosen) or [-1]
    first = ordered(candidates(row), np.zeros((1, len(row)), np.float32), limit=limit)
    order = filled(
        first, shelf(size), cohort_index=np.array([0]), exclude=np.array([sorted(done)], np.int32).reshape(1, -1)
    )
    shown = [index for index in order.index[0].tolist() if index >= 0]
    left = set(range(size)) - done
    assert len(shown) == len(set(shown)) == min(limit, len(left) or size)
    assert not set(shown) & done or not left
