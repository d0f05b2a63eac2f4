"""Catalogues and learners at the edge: a release of one content, and someone who completed everything."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typing_extensions import override

from app.adapters.faiss_index import FaissIndex
from app.domain.slates import ServedBy
from app.features.dataset import build_dataset
from app.models.release import load_release
from app.ports.metadata import LearnerRecords
from tests.serving.test_recommend import UNKNOWN, InProcess, slate
from tests.serving.tiny import FIRST, Tiny, Trained, make_tiny, train_release


class Diligent(InProcess):
    """Everyone completed everything."""

    @override
    async def records(self, user_ids: Sequence[str], *, deadline_s: float) -> LearnerRecords:
        found = await super().records(user_ids, deadline_s=deadline_s)
        return replace(found, completed=tuple([*self.release.catalogue.content_ids] for _ in user_ids))


def in_process(kind: type[InProcess], trained: Trained, tiny: Tiny) -> InProcess:
    release = load_release(trained.folder)
    return kind(release, release.user_tower(), release.ranker(), FaissIndex(release.faiss_path), tiny)


async def test_whoever_completed_everything_is_shown_it_again(releases: dict[str, Trained], tiny: Tiny) -> None:
    stages = in_process(Diligent, releases[FIRST], tiny)
    answer = await slate(stages, tiny.dataset.vocabulary.user_ids[0])
    assert len(answer.items) == 10
    assert {item.source for item in answer.items} == {"popular"}


@pytest.fixture(scope="module")
def lone() -> Tiny:
    """A world of which one content is left, the one that most events are on."""
    tiny = make_tiny()
    busiest = int(np.bincount(tiny.dataset.events.content).argmax())
    content_id = tiny.dataset.catalogue.content_ids[busiest]
    contents, events = (
        table.filter([one == content_id for one in table["content_id"].to_pylist()])
        for table in (tiny.world.contents, tiny.world.events)
    )
    return Tiny(tiny.world, build_dataset(contents, tiny.world.users, events))


@pytest.fixture(scope="module")
def alone(lone: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder: Path = tmp_path_factory.mktemp("alone") / "release"
    return train_release(lone, "alone", folder, dim=16)


@pytest.mark.parametrize("kind", [InProcess, Diligent])
async def test_a_release_of_one_content_shows_it_to_everyone(alone: Trained, lone: Tiny, kind: type[InProcess]) -> None:
    stages = in_process(kind, alone, lone)
    for user_id in (*lone.dataset.vocabulary.user_ids[:5], UNKNOWN):
        answer = await slate(stages, user_id)
        assert [item.content_id for item in answer.items] == list(lone.dataset.catalogue.content_ids)
        assert answer.degraded == ()
    assert (await slate(stages, UNKNOWN)).served_by in (ServedBy.POPULAR, ServedBy.POPULAR_IN_COHORT)
