"""The release on trial in one ingress replica: some learners get its answers, some requests are answered twice."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain.releases import Trial
from app.errors import Unavailable
from app.models.release import Release
from app.policy.trial import Watch, falls_in, overlaps, score_shifts
from app.recommend.batch import Outcome, RequestBatch
from app.serving.live_stages import LiveStages
from app.serving.metrics import Metrics

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arm:
    """A release and the stages that answer for it."""

    release: Release
    stages: LiveStages


@dataclass(frozen=True, slots=True)
class _Running:
    arm: Arm
    trial: Trial
    watch: Watch = field(default_factory=Watch)


class Trials:
    """`answer` makes slates by an arm; `end` withdraws a trial for every replica."""

    def __init__(
        self,
        answer: Callable[[Arm, RequestBatch], Awaitable[Outcome]],
        *,
        end: Callable[[Trial], Awaitable[None]],
        budget_s: float,
        metrics: Metrics,
    ) -> None:
        self._answer, self._end, self._budget_s, self._metrics = answer, end, budget_s, metrics
        self._running: _Running | None = None
        self._withdrawn: Trial | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def is_new(self, trial: Trial) -> bool:
        return trial != self._withdrawn and (self._running is None or trial != self._running.trial)

    def take_up(self, arm: Arm | None, trial: Trial | None) -> None:
        """What is ready for a trial; called again and again, changed or not."""
        if trial is None:
            self._withdrawn = None
        elif trial == self._withdrawn:
            self._start("end", lambda: self._withdraw(trial))  # the registry may not have heard of it yet
            return
        if (trial if arm else None) == (self._running.trial if self._running else None):
            return
        self._running = _Running(arm, trial) if arm and trial else None
        self._metrics.trying(self._running.trial.release_id if self._running else None)

    def takes(self, user_id: str) -> bool:
        running = self._running
        return running is not None and falls_in(user_id, running.trial.release_id, running.trial.canary)

    async def answered(self, batch: RequestBatch) -> Outcome | None:
        """By the release on trial; None where the live one has to."""
        running = self._running
        if running is None:
            return None
        try:
            outcome = await self._answer(running.arm, batch)
        except Exception:  # noqa: BLE001  # whatever is wrong with it, the learners get an answer
            _LOG.exception("release %s, on trial, fails", running.trial.release_id)
            running.watch.failed(len(batch.user_ids))
            self._judge(running)
            return None
        running.watch.saw(outcome.slates, on_trial=True)
        self._judge(running)
        return outcome

    def beside(self, batch: RequestBatch, shown: Outcome) -> None:
        """What the live release answered; a share of that is answered again on trial, unseen."""
        running = self._running
        if running is None:
            return
        running.watch.saw(shown.slates, on_trial=False)
        if random.random() < running.trial.shadow:  # noqa: S311  # which requests are compared is no secret
            self._start("shadow", lambda: self._compare(running, batch, shown))

    async def _compare(self, running: _Running, batch: RequestBatch, shown: Outcome) -> None:
        try:
            again = replace(batch, deadline=time.monotonic() + self._budget_s)
            other = await self._answer(running.arm, again)
        except Exception:  # noqa: BLE001  # nobody waits for it
            _LOG.exception("release %s, on trial, fails in the shadow", running.trial.release_id)
            running.watch.failed(len(shown.slates))
        else:
            running.watch.saw(other.slates, on_trial=True)
            self._metrics.compared(
                overlaps=overlaps(shown.slates, other.slates),
                score_shifts=score_shifts(shown.slates, other.slates),
                live_ms=sum(shown.timings_ms.values()),
                trial_ms=sum(other.timings_ms.values()),
            )
        self._judge(running)

    def _judge(self, running: _Running) -> None:
        verdict = running.watch.verdict()
        if verdict is None or running is not self._running:
            return
        _LOG.error("release %s is withdrawn from its trial: too many %s", running.trial.release_id, verdict)
        self._running, self._withdrawn = None, running.trial
        self._metrics.withdrawn(verdict)
        self._metrics.trying(None)
        self._start("end", lambda: self._withdraw(running.trial))

    async def _withdraw(self, trial: Trial) -> None:
        try:
            await self._end(trial)
        except Unavailable as exc:
            _LOG.warning("the registry is not told of the trial's end yet: %s", exc)

    def _start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """In the background, one of a name at a time; what comes on top is left out."""
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = asyncio.create_task(work())
