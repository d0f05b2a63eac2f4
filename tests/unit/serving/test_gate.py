"""How often a subject may ask."""

import pytest

from app.errors import InvalidInput
from app.serving.gate import RateLimit
from app.serving.problems import Problem


def test_each_subject_has_a_limit_of_its_own_and_is_told_when_to_come_back() -> None:
    now = [90.0]  # half a minute into a window
    limit = RateLimit("3/minute", clock=lambda: now[0])
    for _ in range(3):
        limit.hit("ada")
    with pytest.raises(Problem, match="3 per 1 minute") as caught:
        limit.hit("ada")
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "30"})
    limit.hit("ben")
    now[0] += 30
    limit.hit("ada")


@pytest.mark.parametrize("limit", ["often", "", "-1/minute", "5/fortnight"])
def test_a_limit_that_means_nothing_is_refused_at_the_start(limit: str) -> None:
    with pytest.raises(InvalidInput, match="600/minute"):
        RateLimit(limit)
