"""What one ingress replica does, without HTTP: recommends in micro-batches, takes events, knows how all is."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from opentelemetry.trace import Span

from app.adapters.postgres.directory import PostgresLearnerDirectory
from app.adapters.postgres.popular import PostgresPopularContents
from app.adapters.redis_features import RedisFeatures
from app.adapters.tracing import Tracing
from app.domain.releases import Trial
from app.errors import Unavailable
from app.models.release import Release
from app.policy.admission import Admission
from app.policy.knobs import Policy
from app.recommend.batch import Budget, Outcome, RequestBatch
from app.recommend.recommend import recommend
from app.recommend.slates import without_release
from app.serving.arguments import GraphArguments
from app.serving.calls import Stage
from app.serving.coalescer import Coalescer, Gathering
from app.serving.intake import Intake
from app.serving.json_log import SAID_OF
from app.serving.keeper import ReleaseKeeper
from app.serving.live_stages import LiveStages, World
from app.serving.metrics import Metrics
from app.serving.monitor import Health, Monitor
from app.serving.observer import describe
from app.serving.privacy import Privacy
from app.serving.question import Answer, Question
from app.serving.trials import Arm, Trials
from app.settings import Settings

MAX_ITEMS, DEFAULT_ITEMS = 100, 10
REHEARSALS, REHEARSAL_S = (1, 8, 64), 1.0
"""Learners in each batch that is answered before a release is served, and the time it may take."""

POPULAR_KEPT_S = 10.0
MAX_CONNECTIONS = 16
"""Of a replica to PostgreSQL: one for every micro-batch under way, and one for the monitor."""

FEWEST = 64
"""Requests that may be under way however slow everything is: 50 requests/s of 200 ms each are 10."""

HURRIES_MS = (10, 20, 50, 100, 200, 500, 1000)
"""Classes of budgets below the usual one. Requests travel only with others of their class: a batch has one deadline,
and one client in a hurry must not degrade the answers of the rest."""

_LOG = logging.getLogger(__name__)


class Service:
    """An asynchronous context manager; everything is opened on the loop that uses it."""

    def __init__(
        self, settings: Settings, arguments: GraphArguments, *, embedder: Stage, retriever: Stage, ranker: Stage
    ) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.tracing = tracing = Tracing.of(settings, service="learnrec-ingress")
        self._policy = Policy(num_candidates=arguments.num_candidates)
        connections = min(arguments.max_in_flight + 1, MAX_CONNECTIONS)
        self._directory = PostgresLearnerDirectory(settings.need("postgres_url"), pool_size=connections)
        self._features = RedisFeatures(settings.need("redis_url"))
        self.intake = Intake(settings, self._features, self.metrics.events, tracing)
        self.privacy = Privacy(settings, self.intake.opt_outs)
        self._popular_contents = PostgresPopularContents(settings.need("postgres_url"))
        usual_s = settings.request_timeout_ms / 1000
        self._world = World(self._directory, self._features, embedder, retriever, ranker, usual_s, tracing=tracing)
        self._keeper: ReleaseKeeper[Release] = ReleaseKeeper(settings, _opened)
        self._monitor = Monitor(
            self._keeper,
            self._world.stages,
            pings={
                "postgres": self._directory.ping,
                "redis": self._features.ping,
                "event_log": self.intake.ping,
            },
            switch=self._serve,
            try_out=self._try_out,
        )
        self._trials = Trials(self._by, end=self._end_trial, budget_s=usual_s, metrics=self.metrics)
        gathering = Gathering(
            max_batch=arguments.max_batch,
            max_in_flight=arguments.max_in_flight,
            wait_s=arguments.wait_ms / 1000,
        )
        most = arguments.max_waiting + arguments.max_batch * arguments.max_in_flight
        self._admission = Admission(min(FEWEST, most), most, budget_s=usual_s)
        self._coalescer = Coalescer(self._answer, gathering, company=self._company)
        self._current: Arm | None = None
        self._asked_lately: deque[str] = deque(maxlen=REHEARSALS[-1])
        self._popular: tuple[float, pa.Table] | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._directory.__aenter__()
        await asyncio.to_thread(self._keeper.start)
        await self._monitor.look()
        self._watching = asyncio.create_task(self._monitor.run())
        await self.intake.start()

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        self.intake.close()
        await asyncio.to_thread(self._keeper.close)
        await self._directory.__aexit__(None, None, None)
        await self._features.close()

    @property
    def health(self) -> Health:
        return self._monitor.health

    @property
    def alive(self) -> bool:
        """Whether the threads and tasks behind the requests still run."""
        watching = self._watching is not None and not self._watching.done()
        return watching and self._keeper.alive and self.intake.alive

    async def recommend(
        self, user_id: str, limit: int, *, timeout_ms: int | None = None, span: Span | None = None
    ) -> Answer:
        """`user_id` is canonical; `timeout_ms` may lower the usual budget.

        Raises Unavailable: overloaded, or no release and no content at all.
        """
        usual_ms, began = self.settings.request_timeout_ms, time.monotonic()
        budget_ms = min(timeout_ms or usual_ms, usual_ms)
        if reason := self.turned_away():
            raise Unavailable("service", reason)
        self._admission.enter()
        answered = False
        try:
            self._asked_lately.append(user_id)
            question = Question(user_id, limit, began, budget_ms, self._trials.takes(user_id), span)
            answer = await self._coalescer.ask(question)
            answered = budget_ms == usual_ms
            return answer
        finally:
            now = time.monotonic()
            self._admission.leave(took_s=now - began if answered else None, now=now)

    def turned_away(self) -> str | None:
        """Why no recommendation can be made in time now, if so; whoever hears it is counted as refused."""
        if self._admission.has_room:
            return None
        self.metrics.refused()
        return f"{self._admission.num_under_way} requests are under way: more would be late"

    def scraped(self) -> bytes:
        """Prometheus text; what need be known only when somebody asks is worked out now."""
        bins = self._current.release.bins if self._current else None
        if bins is not None and (seen := self.health.features_seen):
            self.metrics.models.drifted(bins, np.sum(seen, axis=0))
        return self.metrics.text()

    def _company(self, question: Question) -> tuple[int, bool]:
        if question.budget_ms == self.settings.request_timeout_ms:
            return question.budget_ms, question.on_trial
        return max((hurry for hurry in HURRIES_MS if hurry <= question.budget_ms), default=0), question.on_trial

    async def _serve(self, release: Release) -> None:
        arm = self._arm(release)
        await self._rehearse(arm)
        self._current = arm
        self.metrics.models.serving(release.manifest)

    async def _rehearse(self, arm: Arm) -> None:
        """Answer for those who asked or learned lately, unseen: the first real request finds all warm."""
        users = list(self._asked_lately) or await self._active()
        for size in REHEARSALS:
            some = tuple(users[:size])
            if some:
                deadline = time.monotonic() + REHEARSAL_S
                await self._by(arm, RequestBatch(some, (DEFAULT_ITEMS,) * len(some), deadline))

    async def _active(self) -> list[str]:
        try:
            return await self._directory.active(limit=REHEARSALS[-1])
        except Unavailable as exc:
            _LOG.info("nobody to rehearse with: %s", exc)
            return []

    async def _try_out(self, release: Release | None, trial: Trial | None) -> None:
        arm = self._arm(release) if release else None
        if arm and trial and self._trials.is_new(trial):
            try:
                await self._rehearse(arm)
            except Exception:  # noqa: BLE001  # on trial it is withdrawn for that
                _LOG.exception("release %s fails before its trial", arm.release.release_id)
        self._trials.take_up(arm, trial)

    async def _end_trial(self, trial: Trial) -> None:
        await asyncio.to_thread(self._keeper.end_trial, trial)

    def _arm(self, release: Release) -> Arm:
        return Arm(release, LiveStages(self._world, release_id=release.release_id, dim=release.manifest.embedding_dim))

    async def _answer(self, questions: Sequence[Question]) -> list[Answer]:
        """One batch: everything in it is answered by one release."""
        began, arm = time.monotonic(), self._current
        SAID_OF.set({"release": arm.release.release_id if arm else None})
        batch = RequestBatch(
            user_ids=tuple(question.user_id for question in questions),
            limits=tuple(question.limit for question in questions),
            deadline=min(question.deadline for question in questions),
            opted_out=self.intake.opt_outs.among([question.user_id for question in questions]),
        )
        with self.tracing.batch("recommend", [question.span for question in questions]) as span:
            outcome = await self._trials.answered(batch) if questions[0].on_trial else None
            tried = outcome is not None
            outcome = outcome or await self._outcome(batch)
            if span is not None:
                describe(span, outcome)
        if not tried:
            self._trials.beside(batch, outcome)
        self.metrics.batch(outcome)
        return [
            Answer(slate, {"queue": round((began - question.asked_at) * 1000, 2), **outcome.timings_ms})
            for question, slate in zip(questions, outcome.slates, strict=True)
        ]

    async def _outcome(self, batch: RequestBatch) -> Outcome:
        if self._current is None:
            return without_release(batch, await self._popular_now())
        return await self._by(self._current, batch)

    async def _by(self, arm: Arm, batch: RequestBatch) -> Outcome:
        budget = Budget(self._policy, batch.deadline, time.monotonic)
        return await recommend(batch, release=arm.release, stages=arm.stages, budget=budget, now=datetime.now(UTC))

    async def _popular_now(self) -> pa.Table:
        if self._popular is None or time.monotonic() - self._popular[0] > POPULAR_KEPT_S:
            try:
                self._popular = (time.monotonic(), await self._popular_contents.popular(limit=MAX_ITEMS))
            except Unavailable:
                if self._popular is None:
                    raise
        if not self._popular[1].num_rows:
            raise Unavailable("release", "there is no release in production and no content yet: run the pipeline")
        return self._popular[1]


def _opened(release: Release) -> Release:
    """With all that the ingress reads of it in memory: nothing is loaded on a request's path."""
    assert len(release.catalogue) == len(release.items)
    assert release.vocabulary is not None
    return release
