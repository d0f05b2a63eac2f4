"""A release on trial."""

import numpy as np
import pytest

from app.domain.slates import ServedBy, Slate, SlateItem
from app.policy.trial import LEAST, Watch, falls_in, overlaps, score_shifts

USERS = [f"user-{number}" for number in range(20_000)]


def slate(contents: str, *, degraded: tuple[str, ...] = (), score: float = 0.5) -> Slate:
    items = tuple(SlateItem(c, c, "video", score, place + 1, "next") for place, c in enumerate(contents))
    return Slate("u", "r", items, ServedBy.RANKER, degraded)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_the_share_of_learners_is_what_was_asked_for(share: float) -> None:
    taken = np.mean([falls_in(user, "r", share) for user in USERS])
    assert abs(taken - share) <= 4 * np.sqrt(share * (1 - share) / len(USERS))


def test_a_learner_who_has_it_keeps_it_when_the_share_grows() -> None:
    few = {user for user in USERS if falls_in(user, "r", 0.1)}
    assert few <= {user for user in USERS if falls_in(user, "r", 0.2)}


def test_another_release_is_tried_on_others() -> None:
    first, second = ({user for user in USERS if falls_in(user, release, 0.1)} for release in ("a", "b"))
    assert len(first & second) < 0.2 * len(first)


def test_overlap_counts_the_first_ten_whatever_their_order() -> None:
    found = overlaps([slate("abcdefghijk"), slate("ab"), slate("")], [slate("jihgfedcbaz"), slate("ac"), slate("")])
    assert found.tolist() == [1.0, 0.5, 0.0]


def test_score_shift_is_that_of_the_contents_in_both() -> None:
    assert score_shifts([slate("ab", score=0.2), slate("a")], [slate("bc", score=0.5), slate("z")]) == pytest.approx(
        [0.3]
    )


def test_nothing_is_concluded_from_a_few_answers() -> None:
    watch = Watch()
    watch.failed(LEAST - 1)
    assert watch.verdict() is None
    watch.failed(1)
    assert watch.verdict() == "errors"


def test_what_both_sides_suffer_is_not_the_fault_of_the_one_on_trial() -> None:
    watch = Watch()
    for on_trial in (False, True):
        watch.saw([slate("a", degraded=("ranker",))] * 100, on_trial=on_trial)
    assert watch.verdict() is None


def test_stores_are_nobodys_fault_and_stages_are() -> None:
    watch = Watch()
    watch.saw([slate("a")] * 100, on_trial=False)
    watch.saw([slate("a", degraded=("postgres",))] * 100, on_trial=True)
    assert watch.verdict() is None
    watch.saw([slate("a", degraded=("ranker",))] * 20, on_trial=True)
    assert watch.verdict() == "errors"


def test_empty_slates_end_a_trial() -> None:
    watch = Watch()
    watch.saw([slate("a")] * 100, on_trial=False)
    watch.saw([slate("a")] * 96 + [slate("")] * 4, on_trial=True)
    assert watch.verdict() == "empty"
