"""Open-loop load: so many requests a second whatever becomes of them, and every answer looked into.

By aiohttp: httpx takes a millisecond a request, and more the more connections are open, from the cores that serve.
"""

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

MAX_CONNECTIONS = 200
LATE_S = 10.0
"""A request that has no answer by then is counted as failed."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One request; `status` 0 where there was no answer."""

    asked_at: float  # monotonic seconds
    latency_ms: float
    status: int
    num_items: int = 0
    served_by: str = ""
    degraded: tuple[str, ...] = ()
    retry_after: bool = False

    @property
    def is_full(self) -> bool:
        return self.status == 200 and self.served_by == "ranker" and not self.degraded


class Steady:
    """`rate` requests a second for `paths` in turn, on a thread of its own, from enter to exit."""

    def __init__(
        self,
        url: str,
        paths: Sequence[str],
        *,
        token: str,
        rate: float,
        headers: Callable[[], dict[str, str]] = dict[str, str],
    ) -> None:
        """`headers` makes more of them for each request."""
        self._headers = headers
        self.answers: list[Answered] = []  # in the order in which they came
        self._url, self._paths, self._token, self._rate = url, paths, token, rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def between(self, start: float, end: float) -> list[Answered]:
        """Answers to what was asked from `start` to `end`, monotonic seconds."""
        return [answer for answer in self.answers.copy() if start <= answer.asked_at < end]

    async def _run(self) -> None:
        async with (
            aiohttp.ClientSession(
                self._url,
                headers={"Authorization": f"Bearer {self._token}"},
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=LATE_S),
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            began = time.monotonic()
            for number, path in enumerate(itertools.cycle(self._paths)):
                await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
                if self._ended.is_set():
                    return
                group.create_task(self._ask(client, path))

    async def _ask(self, client: aiohttp.ClientSession, path: str) -> None:
        asked_at = time.monotonic()
        try:
            async with client.get(path, headers=self._headers()) as response:
                content = await response.read()
            body: dict[str, Any] = orjson.loads(content) if response.status == 200 else {}
            status, retry_after = response.status, "retry-after" in response.headers
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError):
            status, body, retry_after = 0, {}, False
        self.answers.append(
            Answered(
                asked_at,
                (time.monotonic() - asked_at) * 1000,
                status,
                len(body.get("items", ())),
                body.get("served_by", ""),
                tuple(body.get("degraded", ())),
                retry_after,
            )
        )
