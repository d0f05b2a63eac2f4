"""The ingress's eye on everything else: which release to serve, and what answers; never on a request's path."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.domain.releases import Trial
from app.errors import Unavailable
from app.models.release import Release
from app.serving.calls import Stage
from app.serving.keeper import ReleaseKeeper
from app.serving.stage import StageStatus

LOOK_EVERY_S, LOOK_WHILE_SWITCHING_S = 1.0, 0.25
PING_EVERY_S, PING_TIMEOUT_S = 5.0, 2.0
STATUS_TIMEOUT_S = 2.0
_LOG = logging.getLogger(__name__)

Ping = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class Health:
    """What the monitor saw last."""

    release: str | None = None
    trial: str | None = None  # the release on trial, once every stage holds it
    stages_ready: bool = False  # every replica of every stage holds that release
    faults: dict[str, str] = field(default_factory=dict)  # dependency -> why it does not answer
    unused: frozenset[str] = frozenset()  # dependencies that no stage asks, by its settings
    features_seen: tuple[NDArray[np.float64], ...] = ()  # by each ranker, of the release that is served


class Monitor:
    """`switch` is awaited with a release when every stage holds it: when it returns, the release is served.

    `try_out` is awaited in every round with the release that is on trial, as soon as every stage holds it, or None.
    """

    def __init__(
        self,
        keeper: ReleaseKeeper[Release],
        stages: tuple[Stage, ...],
        *,
        pings: Mapping[str, Ping],
        switch: Callable[[Release], Awaitable[None]],
        try_out: Callable[[Release | None, Trial | None], Awaitable[None]],
    ) -> None:
        self._keeper, self._stages, self._pings = keeper, stages, pings
        self._switch, self._try_out = switch, try_out
        self._pinged: dict[str, str] = {}
        self._pinged_at = float("-inf")
        self._pinging: asyncio.Task[None] | None = None
        self.health = Health()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001  # the eye must not close
                _LOG.exception("the monitor failed")
            switching = self._keeper.production != self.health.release
            await asyncio.sleep(LOOK_WHILE_SWITCHING_S if switching else LOOK_EVERY_S)

    async def look(self) -> None:
        """One round: ask the stages, switch if all are ready, ping what is due."""
        seen = await asyncio.gather(*(_statuses(stage) for stage in self._stages))
        wanted, held = self._keeper.production, [_held_by_all(statuses) for statuses in seen]
        if wanted is not None and wanted != self.health.release:
            await self._take_up(wanted, held=held)
        on_trial, trial = self._on_trial(held)
        await self._try_out(on_trial, trial)
        self._ping_if_due()
        current = self.health.release
        faults = dict(self._pinged)
        for stage, statuses in zip(self._stages, seen, strict=True):
            if statuses is None:
                faults[stage.name] = "no replica answers"
            elif current is not None and current not in _held_by_all(statuses):
                faults[stage.name] = f"release {current} is not loaded yet"
            for status in statuses or ():
                faults.update(status.faults)
        if self._keeper.fault:
            faults["mlflow"] = self._keeper.fault
        stages_ready = current is not None and not any(stage.name in faults for stage in self._stages)
        unused = frozenset[str]().union(*(status.unused for statuses in seen for status in statuses or ()))
        counts = [status.features_seen.get(current or "") for statuses in seen for status in statuses or ()]
        features_seen = tuple(part for part in counts if part is not None)
        trying = on_trial.release_id if on_trial else None
        self.health = Health(current, trying, stages_ready, faults, unused, features_seen)

    async def _take_up(self, wanted: str, *, held: list[frozenset[str]]) -> None:
        """The first release is served once it is here, with what is ready; a later one when all stages hold it."""
        release = self._keeper.get(wanted)
        if release is None or not (self.health.release is None or all(wanted in each for each in held)):
            return
        await self._switch(release)
        _LOG.info("release %s is served from now on", wanted)
        self.health.release = wanted

    def _on_trial(self, held: list[frozenset[str]]) -> tuple[Release | None, Trial | None]:
        """None and the trial, while it is not ready."""
        trial = self._keeper.trial
        if trial is None or trial.release_id == self.health.release:
            return None, None
        ready = all(trial.release_id in each for each in held)
        return (self._keeper.get(trial.release_id) if ready else None), trial

    def _ping_if_due(self) -> None:
        due = time.monotonic() - self._pinged_at >= PING_EVERY_S
        if due and (self._pinging is None or self._pinging.done()):
            self._pinged_at = time.monotonic()
            self._pinging = asyncio.create_task(self._ping_all())

    async def _ping_all(self) -> None:
        reasons = await asyncio.gather(*(_reason(ping) for ping in self._pings.values()))
        self._pinged = {name: reason for name, reason in zip(self._pings, reasons, strict=True) if reason}


async def _statuses(stage: Stage) -> list[StageStatus] | None:
    try:
        return await stage.everywhere("status", deadline_s=STATUS_TIMEOUT_S)
    except Unavailable:
        return None


def _held_by_all(statuses: list[StageStatus] | None) -> frozenset[str]:
    held = [frozenset(status.releases) for status in statuses or ()]
    return frozenset.intersection(*held) if held else frozenset()


async def _reason(ping: Ping) -> str | None:
    """Why it does not answer, or None."""
    try:
        async with asyncio.timeout(PING_TIMEOUT_S):
            await ping()
    except TimeoutError:
        return "no answer in time"
    except Unavailable as exc:
        return exc.reason
    return None
