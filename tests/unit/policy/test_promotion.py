"""What keeps a release from going live."""

from app.domain.releases import FULL, POPULAR, Manifest
from app.policy.promotion import HEADLINE, Smoke, shortfalls, smoke_shortfalls
from tests import released

GOOD = Smoke(num_asked=65, num_empty=0, num_ranked=60, num_faults=0)


def manifest(ours: float | None, popular: float | None = 0.1) -> Manifest:
    figures = {FULL: ours, POPULAR: popular}
    judged = {name: {HEADLINE: value} for name, value in figures.items() if value is not None}
    return released.manifest(metrics=judged)


def test_as_good_or_a_little_worse_is_good_enough() -> None:
    assert shortfalls(manifest(0.30), manifest(0.30)) == ()
    assert shortfalls(manifest(0.29), manifest(0.30)) == ()
    assert shortfalls(manifest(0.35), manifest(0.30)) == ()


def test_clearly_worse_is_refused_with_both_figures() -> None:
    (why,) = shortfalls(manifest(0.20), manifest(0.30))
    assert "0.2000" in why
    assert "0.3000" in why


def test_worse_than_popularity_is_refused_whatever_is_live() -> None:
    (why,) = shortfalls(manifest(0.09), manifest(None))
    assert "popularity" in why


def test_a_release_that_was_never_judged_does_not_replace_one_that_was() -> None:
    assert len(shortfalls(manifest(None), manifest(0.3))) == 1
    assert shortfalls(manifest(None), manifest(None)) == ()


def test_answers_as_good_as_those_of_the_live_release_pass() -> None:
    assert smoke_shortfalls(GOOD, GOOD) == ()


def test_each_thing_that_answers_lack_is_named() -> None:
    bad = Smoke(num_asked=65, num_empty=3, num_ranked=50, num_faults=1)
    assert len(smoke_shortfalls(bad, GOOD)) == 3
