"""The contract of ReleaseRegistry, on a real MLflow server."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from app.adapters.mlflow_registry import MlflowRegistry
from app.domain.releases import CANDIDATE, PRODUCTION, STAGING, Manifest, Trial
from app.errors import Conflict, NotFound, Unavailable
from app.ports.registry import ReleaseRegistry
from tests import released

FILES = {f"towers/variables/{n}": "0" * 64 for n in range(200)}


def manifest(release_id: str, created_at: str = "2026-01-01T00:00:00Z") -> Manifest:
    of_three = {"collection": f"learnrec_{release_id}", "metrics": {"two_tower": {"ndcg@10": 0.25}}, "files": FILES}
    return released.manifest(release_id, created_at=created_at, **of_three)


@pytest.fixture
def registry(mlflow_uri: str) -> Iterator[MlflowRegistry]:
    made = MlflowRegistry(mlflow_uri, model=f"contract-{uuid4().hex}")
    yield made
    made.close()


@pytest.fixture
def three(registry: MlflowRegistry) -> MlflowRegistry:
    for release_id in ("a", "b", "c"):
        registry.register(manifest(release_id))
    return registry


def test_an_empty_registry_knows_nothing(registry: ReleaseRegistry) -> None:
    assert registry.manifests() == ()
    assert registry.aliased(PRODUCTION) is None
    assert registry.previous(PRODUCTION) is None


def test_a_manifest_comes_back_as_it_was_registered(registry: ReleaseRegistry) -> None:
    registry.register(manifest("a"))
    assert registry.manifests() == (manifest("a"),)


def test_releases_are_listed_newest_first(three: ReleaseRegistry) -> None:
    assert [m.release_id for m in three.manifests()] == ["c", "b", "a"]


def test_registering_the_same_release_again_changes_nothing(three: ReleaseRegistry) -> None:
    three.register(manifest("a"))
    assert [m.release_id for m in three.manifests()] == ["c", "b", "a"]


def test_another_manifest_under_a_known_id_is_refused(three: ReleaseRegistry) -> None:
    with pytest.raises(Conflict, match="another manifest"):
        three.register(manifest("a", created_at="2026-02-02T00:00:00Z"))


def test_an_alias_stands_for_what_it_was_pointed_at_last(three: ReleaseRegistry) -> None:
    three.point(PRODUCTION, "a")
    assert (three.aliased(PRODUCTION), three.previous(PRODUCTION)) == ("a", None)
    three.point(PRODUCTION, "c")
    assert (three.aliased(PRODUCTION), three.previous(PRODUCTION)) == ("c", "a")


def test_aliases_do_not_touch_each_other(three: ReleaseRegistry) -> None:
    three.point(STAGING, "b")
    three.point(PRODUCTION, "a")
    assert (three.aliased(STAGING), three.aliased(PRODUCTION)) == ("b", "a")


def test_pointing_at_the_present_release_keeps_the_previous_one(three: ReleaseRegistry) -> None:
    for release_id in ("a", "b", "b"):
        three.point(PRODUCTION, release_id)
    assert three.previous(PRODUCTION) == "a"


def test_going_back_twice_returns_to_where_one_was(three: ReleaseRegistry) -> None:
    for release_id in ("a", "b"):
        three.point(PRODUCTION, release_id)
    seen: list[str | None] = []
    for _ in range(2):
        before = three.previous(PRODUCTION)
        assert before is not None
        three.point(PRODUCTION, before)
        seen.append(three.aliased(PRODUCTION))
    assert seen == ["a", "b"]


def test_the_previous_release_survives_many_moves(three: ReleaseRegistry) -> None:
    for release_id in ("a", "b") * 30:
        three.point(PRODUCTION, release_id)
    assert (three.aliased(PRODUCTION), three.previous(PRODUCTION)) == ("b", "a")


@pytest.mark.parametrize("unknown", ["z", "it's"])
def test_a_release_that_does_not_exist_is_named_in_the_error(three: ReleaseRegistry, unknown: str) -> None:
    with pytest.raises(NotFound, match=unknown):
        three.point(PRODUCTION, unknown)
    assert three.aliased(PRODUCTION) is None


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    registry = MlflowRegistry("http://127.0.0.1:9", timeout_s=1)
    with pytest.raises(Unavailable, match="mlflow"):
        registry.aliased(PRODUCTION)


def test_nothing_is_on_trial_until_it_is_put_there_and_after_it_ends(three: MlflowRegistry) -> None:
    assert three.trial() is None
    trial = Trial(release_id="b", shadow=0.5, canary=0.1)
    three.put_on_trial(trial)
    assert (three.trial(), three.aliased(CANDIDATE)) == (trial, "b")
    three.put_on_trial(Trial(release_id="c", canary=1.0))
    assert three.aliased(CANDIDATE) == "c"
    for _ in range(2):
        three.put_on_trial(None)
        assert (three.trial(), three.aliased(CANDIDATE)) == (None, None)


def test_what_is_not_registered_cannot_be_tried(three: MlflowRegistry) -> None:
    with pytest.raises(NotFound, match="nothing"):
        three.put_on_trial(Trial(release_id="nothing", canary=0.1))
    assert three.trial() is None
