"""The ladder, one rung after the other: the real models of a small release, called directly, some of them gone."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray

from app.adapters.faiss_index import FaissIndex
from app.domain.learners import WINDOW, Learners
from app.domain.slates import Candidates, ServedBy, Slate
from app.errors import DeadlineExceeded, Unavailable
from app.models.ranker import Ranker
from app.models.release import Release, load_release
from app.models.user_tower import UserTower
from app.policy.knobs import Policy
from app.ports.metadata import LearnerRecords
from app.ports.online_features import OnlineLearners
from app.recommend.batch import Budget, Outcome, RequestBatch
from app.recommend.recommend import recommend
from app.recommend.stages import Fault, Retrieved
from tests.serving.tiny import FIRST, Tiny, Trained


@dataclass
class InProcess:
    """The stages of one release without Serve: every learner is known, with the history of the world."""

    release: Release
    tower: UserTower
    ranker: Ranker
    index: FaissIndex
    tiny: Tiny
    gone: dict[str, type[Unavailable]] = field(default_factory=dict)
    opted_out: frozenset[str] = frozenset()
    cached: bool = False
    milvus_fails: bool = False

    def _may_fail(self, stage: str) -> None:
        if stage in self.gone:
            raise self.gone[stage](stage, "it is gone")

    async def records(self, user_ids: Sequence[str], *, deadline_s: float) -> LearnerRecords:
        self._may_fail("postgres")
        known = self.release.vocabulary.index_of(user_ids)
        rows = [self._history(int(user)) for user in known]
        cohorts = self.release.vocabulary.cohort_of_user[known]
        return LearnerRecords(
            known=known > 0,
            opted_out=np.array([user_id in self.opted_out for user_id in user_ids]),
            cohort=tuple(self.release.vocabulary.cohorts[c - 1] if c else None for c in cohorts),
            contents=tuple([e[0] for e in row] for row in rows),
            event_types=tuple([e[1] for e in row] for row in rows),
            ts=tuple([e[2] for e in row] for row in rows),
            completed=tuple([e[0] for e in row if e[1] == "complete"] for row in rows),
        )

    def _history(self, user: int) -> list[tuple[str, str, int]]:
        events, names = self.tiny.dataset.events, ("view", "complete", "like", "quiz_score")
        rows = np.flatnonzero(events.user == user)[::-1][:WINDOW] if user else []
        ids = self.release.catalogue.content_ids
        return [(ids[events.content[r]], names[events.event_type[r]], int(events.ts[r])) for r in rows]

    async def online(self, user_ids: Sequence[str], *, deadline_s: float) -> OnlineLearners:
        self._may_fail("redis")
        nothing: tuple[list[str], ...] = tuple([] for _ in user_ids)
        dim = self.release.manifest.embedding_dim
        rows = np.tile(self.release.items.embeddings[0], (len(user_ids), 1))
        cached = rows if self.cached else np.full((len(user_ids), dim), np.nan, np.float32)
        return OnlineLearners(nothing, nothing, tuple([] for _ in user_ids), cached)

    async def embed(self, user_ids: Sequence[str], learners: Learners, *, deadline_s: float) -> NDArray[np.float32]:
        self._may_fail("embedder")
        return self.tower.embed(learners)

    async def retrieve(self, queries: NDArray[np.float32], *, limit: int, deadline_s: float) -> Retrieved:
        self._may_fail("retriever")
        neighbours = await self.index.search(queries, limit=limit, deadline_s=deadline_s)
        return Retrieved(neighbours, (Fault("milvus", "late"),) if self.milvus_fails else ())

    async def rank(
        self, learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates, *, deadline_s: float
    ) -> NDArray[np.float32]:
        self._may_fail("ranker")
        return self.ranker.score(learners, embeddings, candidates, items=self.release.items)


@pytest.fixture
def stages(releases: dict[str, Trained], tiny: Tiny) -> InProcess:
    release = load_release(releases[FIRST].folder)
    return InProcess(release, release.user_tower(), release.ranker(), FaissIndex(release.faiss_path), tiny)


async def ask(stages: InProcess, *user_ids: str, limit: int = 10) -> Outcome:
    batch = RequestBatch(user_ids, (limit,) * len(user_ids), deadline=time.monotonic() + 5)
    budget = Budget(Policy(), batch.deadline, time.monotonic)
    now = datetime.fromtimestamp(int(stages.tiny.dataset.events.ts.max()) + 60, UTC)
    return await recommend(batch, release=stages.release, stages=stages, budget=budget, now=now)


async def slate(stages: InProcess, user_id: str, limit: int = 10) -> Slate:
    return (await ask(stages, user_id, limit=limit)).slates[0]


def shown(answer: Slate) -> list[str]:
    return [item.content_id for item in answer.items]


@pytest.fixture
def ada(tiny: Tiny) -> str:
    """A learner with a long history, and a cohort."""
    events = tiny.dataset.events
    busiest = np.argsort(-np.bincount(events.user))
    cohort = tiny.dataset.vocabulary.cohort_of_user
    return tiny.dataset.vocabulary.user_ids[next(int(u) for u in busiest if u and cohort[u]) - 1]


UNKNOWN = "00000000-0000-4000-8000-000000000000"


async def test_with_everything_there_the_ranker_decides(stages: InProcess, ada: str) -> None:
    answer = await slate(stages, ada)
    assert (answer.release, answer.served_by, answer.degraded) == (FIRST, ServedBy.RANKER, ())
    assert [item.position for item in answer.items] == list(range(1, 11))
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert 0 < scores[-1] <= scores[0] < 1


async def test_nothing_that_was_completed_is_shown(stages: InProcess, ada: str) -> None:
    done = set((await stages.records([ada], deadline_s=1)).completed[0])
    everything = await slate(stages, ada, limit=100)
    assert done
    assert not done & set(shown(everything))
    assert len(everything.items) == len(stages.release.catalogue) - len(done)


@pytest.mark.parametrize("error", [Unavailable, DeadlineExceeded])
async def test_without_the_ranker_retrieval_decides(stages: InProcess, ada: str, error: type[Unavailable]) -> None:
    stages.gone = {"ranker": error}
    outcome = await ask(stages, ada)
    assert (outcome.slates[0].served_by, outcome.slates[0].degraded) == (ServedBy.RETRIEVAL, ("ranker",))
    assert outcome.faults[0].cause == ("late" if error is DeadlineExceeded else "unavailable")
    assert len(outcome.slates[0].items) == 10


async def test_without_milvus_the_answer_is_the_same_and_says_so(stages: InProcess, ada: str) -> None:
    whole = await slate(stages, ada)
    stages.milvus_fails = True
    answer = await slate(stages, ada)
    assert (answer.served_by, answer.degraded, shown(answer)) == (ServedBy.RANKER, ("milvus",), shown(whole))


async def test_without_any_vector_index_the_other_sources_propose(stages: InProcess, ada: str) -> None:
    stages.gone = {"retriever": Unavailable}
    answer = await slate(stages, ada)
    assert (answer.served_by, answer.degraded) == (ServedBy.RANKER, ("retriever",))
    assert "two_tower" not in {item.source for item in answer.items}


async def test_without_the_embedder_a_cached_embedding_serves(stages: InProcess, ada: str) -> None:
    stages.gone, stages.cached = {"embedder": Unavailable}, True
    answer = await slate(stages, ada)
    assert (answer.served_by, answer.degraded) == (ServedBy.RANKER, ("embedder",))


async def test_without_any_embedding_the_history_still_speaks(stages: InProcess, ada: str) -> None:
    stages.gone = {"embedder": Unavailable}
    answer = await slate(stages, ada)
    assert (answer.served_by, answer.degraded) == (ServedBy.RETRIEVAL, ("embedder",))
    assert {item.source for item in answer.items} & {"next", "together"}


async def test_with_nothing_personal_left_the_cohort_decides(stages: InProcess, ada: str) -> None:
    stages.gone = dict.fromkeys(("postgres", "redis", "embedder", "retriever", "ranker"), Unavailable)
    answer = await slate(stages, ada)
    assert answer.served_by is ServedBy.POPULAR_IN_COHORT
    assert answer.degraded == ("postgres", "redis", "embedder")  # the others were not asked
    assert len(answer.items) == 10


async def test_the_unknown_get_what_is_popular_whatever_is_gone(stages: InProcess) -> None:
    healthy = await slate(stages, UNKNOWN)
    assert (healthy.served_by, healthy.degraded) == (ServedBy.POPULAR, ())
    stages.gone = dict.fromkeys(("embedder", "retriever", "ranker"), Unavailable)
    assert await slate(stages, UNKNOWN) == healthy


async def test_of_those_who_opted_out_nothing_is_used(stages: InProcess, ada: str) -> None:
    stages.opted_out = frozenset({ada})
    answer, stranger = await slate(stages, ada), await slate(stages, UNKNOWN)
    assert (answer.served_by, shown(answer)) == (ServedBy.POPULAR, shown(stranger))


async def test_each_learner_of_a_batch_gets_what_they_would_get_alone(stages: InProcess, tiny: Tiny) -> None:
    asked = [*tiny.dataset.vocabulary.user_ids[:20], UNKNOWN, *tiny.dataset.vocabulary.user_ids[20:40]]
    together = (await ask(stages, *asked)).slates
    alone = [await slate(stages, user_id) for user_id in asked]
    assert [s.user_id for s in together] == asked
    assert [shown(s) for s in together] == [shown(s) for s in alone]
    assert [s.served_by for s in together] == [s.served_by for s in alone]


async def test_a_stage_that_hangs_costs_its_share_of_the_budget_only(stages: InProcess, ada: str) -> None:
    hanging = Hanging(**{name: getattr(stages, name) for name in ("release", "tower", "ranker", "index", "tiny")})
    batch = RequestBatch((ada,), (5,), deadline=time.monotonic() + 1.0)
    began = time.monotonic()
    outcome = await recommend(
        batch,
        release=stages.release,
        stages=hanging,
        budget=Budget(Policy(), batch.deadline, time.monotonic),
        now=datetime.now(UTC),
    )
    assert time.monotonic() - began < 1.0
    assert (outcome.slates[0].degraded, outcome.faults[0].cause) == (("ranker",), "late")


class Hanging(InProcess):
    async def rank(
        self, learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates, *, deadline_s: float
    ) -> NDArray[np.float32]:
        await asyncio.Event().wait()
        raise AssertionError
