"""How often a subject or an address may ask, and whose word about addresses counts."""

import pytest

from app.errors import InvalidInput
from app.serving.limits import Limit, address_of
from app.serving.problems import Problem


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def limit(amount: str, now: float = 90.0) -> tuple[Limit, Clock]:
    """By default half a minute into a window."""
    return Limit("subject", amount, variable="LEARNREC_RATE_LIMIT", clock=(clock := Clock(now))), clock


def test_each_subject_has_a_limit_of_its_own_and_is_told_when_to_come_back() -> None:
    three, clock = limit("3/minute")
    assert [three.spend("ada").left for _ in range(3)] == [2, 1, 0]
    with pytest.raises(Problem, match="3 per 1 minute for this subject") as caught:
        three.spend("ada")
    assert caught.value.status == 429
    assert caught.value.headers == {
        "Retry-After": "30",
        "RateLimit-Policy": '"default";q=3;w=60',
        "RateLimit": '"default";r=0;t=30',
    }
    three.spend("ben")
    clock.now += 30
    three.spend("ada")


def test_what_costs_more_is_counted_as_more_and_what_is_refused_not_at_all() -> None:
    ten, _ = limit("10/minute")
    ten.spend("ada", 8)
    with pytest.raises(Problem):
        ten.spend("ada", 3)
    assert ten.spend("ada", 2).left == 0


@pytest.mark.parametrize("amount", ["often", "", "-1/minute", "5/fortnight"])
def test_a_limit_that_means_nothing_is_refused_at_the_start(amount: str) -> None:
    with pytest.raises(InvalidInput, match=r"LEARNREC_RATE_LIMIT is .*600/minute"):
        limit(amount)


@pytest.mark.parametrize(
    ("header", "hops", "address"),
    [
        ("198.51.100.7", 0, None),
        (None, 1, None),
        ("198.51.100.7", 1, "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7", 1, "198.51.100.7"),
        ("203.0.113.66, 198.51.100.7, 10.0.0.2", 2, "198.51.100.7"),
        ("198.51.100.7", 2, None),
        ("anything", 1, None),
        ("2001:db8:1:2:3::4", 1, "2001:db8:1:2::/64"),
        ("[2001:db8:1:2:3::4]:443", 1, "2001:db8:1:2::/64"),
        ("198.51.100.7:50123", 1, "198.51.100.7"),
        ("::ffff:198.51.100.7", 1, "198.51.100.7"),
    ],
    ids=[
        "no proxy of ours",
        "no header",
        "one",
        "forged before",
        "two",
        "fewer than ours",
        "no address",
        "a network",
        "a network and a port",
        "a port",
        "in the clothes of the newer",
    ],
)
def test_only_what_our_own_proxies_told_is_believed(header: str | None, hops: int, address: str | None) -> None:
    assert address_of(header, hops=hops) == address
