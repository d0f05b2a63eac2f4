"""A release on trial beside the live one: some learners get it, requests are compared, and a bad one goes by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.domain.ids import canonical_id
from app.domain.releases import Trial
from app.errors import Conflict, NotFound
from app.policy.trial import falls_in
from jobs.releases import end_trial, put_on_trial, registry
from tests.serving.conftest import House
from tests.serving.test_swap import Load
from tests.serving.tiny import FIRST, SECOND, Trained, register
from tests.serving.waiting import until

BROKEN = "broken"


def metric(house: House, name: str, **labels: str) -> float:
    text = httpx.get(f"{house.url}/metrics", timeout=10, trust_env=False).text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@contextmanager
def on_trial(house: House, release_id: str, *, shadow: float = 0.0, canary: float = 0.0) -> Iterator[None]:
    put_on_trial(house.settings, Trial(release_id=release_id, shadow=shadow, canary=canary))
    try:
        until(lambda: metric(house, "learnrec_trial_info", release=release_id), seconds=30)
        yield
    finally:
        end_trial(house.settings)
        until(lambda: not metric(house, "learnrec_trial_info"), seconds=30)


def releases_of(house: House) -> dict[str, str]:
    """The release that answers each learner."""
    ids = house.tiny.world.users["user_id"].to_pylist()
    with house.client() as client:
        return {one: client.get(f"/recommend/{one}").raise_for_status().json()["release"] for one in ids}


def test_a_canary_gets_its_share_of_learners_and_always_the_same(served: House) -> None:
    with on_trial(served, SECOND, canary=0.3):
        seen = releases_of(served)
        assert seen == {one: SECOND if falls_in(canonical_id(one), SECOND, 0.3) else FIRST for one in seen}
        assert set(seen.values()) == {FIRST, SECOND}
        assert served.health()["trial"] == SECOND
    until(lambda: served.health()["trial"] is None, seconds=10)
    assert set(releases_of(served).values()) == {FIRST}


def test_a_shadow_is_compared_and_never_shown(served: House) -> None:
    before = metric(served, "learnrec_shadow_overlap_count")
    with on_trial(served, SECOND, shadow=1.0):
        assert set(releases_of(served).values()) == {FIRST}
        until(lambda: metric(served, "learnrec_shadow_overlap_count") > before + 10, seconds=20)
        overlap = metric(served, "learnrec_shadow_overlap_sum") / metric(served, "learnrec_shadow_overlap_count")
        assert 0 < overlap < 1
        sides = [metric(served, "learnrec_shadow_seconds_count", side=side) for side in ("live", "trial")]
        assert sides[0] == sides[1] > 0


@pytest.fixture
def broken(served: House, releases: dict[str, Trained]) -> str:
    """It loads, but its collection is not there."""
    second = releases[SECOND]
    changes = {"release_id": BROKEN, "collection": f"learnrec_{BROKEN}"}
    register(served.settings, replace(second, manifest=second.manifest.model_copy(update=changes)))
    return BROKEN


def test_a_bad_release_is_withdrawn_by_itself_and_the_live_one_does_not_suffer(served: House, broken: str) -> None:
    put_on_trial(served.settings, Trial(release_id=broken, canary=0.5))
    with Load(served) as load, registry(served.settings) as known:
        until(lambda: any(body["release"] == broken for body in load.answers), seconds=30)
        until(lambda: known.trial() is None, seconds=30)
        until(lambda: not metric(served, "learnrec_trial_info"), seconds=30)
        seen = len(load.answers)
        until(lambda: len(load.answers) > seen + 100, seconds=30)
    assert metric(served, "learnrec_trials_withdrawn_total", of="errors") == 1
    assert not load.errors
    assert all(body["items"] for body in load.answers)
    whole = [not body["degraded"] for body in load.answers if body["release"] == FIRST]
    assert sum(whole) >= 0.9 * len(whole), "but for what a busy machine has late"
    assert {body["release"] for body in load.answers[seen:]} == {FIRST}


def test_what_cannot_be_tried_is_refused(served: House) -> None:
    with pytest.raises(Conflict, match="is live"):
        put_on_trial(served.settings, Trial(release_id=FIRST, canary=0.1))
    with pytest.raises(NotFound, match="no release"):
        put_on_trial(served.settings, Trial(release_id="nothing", canary=0.1))
