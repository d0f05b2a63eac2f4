"""How often a subject may ask."""

import pytest

from app.errors import InvalidInput
from app.serving.gate import RateLimit
from app.serving.problems import Problem


def test_each_subject_has_a_limit_of_its_own_and_is_told_when_to_come_back() -> None:
    limit = RateLimit("3/minute")
    for _ in range(3):
        limit.hit("ada")
    with pytest.raises(Problem) as caught:
        limit.hit("ada")
    assert caught.value.status == 429
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
    limit.hit("ben")


def test_a_limit_that_means_nothing_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidInput, match="600/minute"):
        RateLimit("often")
