"""Concurrent requests become micro-batches, as every hop between deployments costs the same whatever it carries.

An idle service answers at once: nobody waits for company. While batches are in flight, those who come gather; a batch
leaves when it is full, when it has waited `wait_s`, or when one in flight comes home.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Gathering:
    """How requests gather."""

    max_batch: int = 64
    max_in_flight: int = 3
    wait_s: float = 0.004


class Coalescer(Generic[Q, A]):
    """Turns `ask(question)` calls into `answer(batch)` calls; one event loop.

    Questions travel only with those of the same `company`; companies share the bound and take turns.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]],
        gathering: Gathering,
        *,
        company: Callable[[Q], Hashable] = lambda _: None,
    ) -> None:
        self._answer, self._gathering, self._company = answer, gathering, company
        self._waiting: dict[Hashable, deque[tuple[Q, asyncio.Future[A]]]] = {}  # whose turn it is comes first
        self._in_flight: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def ask(self, question: Q) -> A:
        """Raises what `answer` raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        company = self._waiting.setdefault(self._company(question), deque())
        company.append((question, future))
        if len(company) >= self._gathering.max_batch:
            self._send()
        elif self._timer is None:
            # At once still means after this turn of the loop: what arrived together leaves together.
            self._timer = loop.call_later(self._gathering.wait_s if self._in_flight else 0, self._timed_out)
        return await future

    def _timed_out(self) -> None:
        self._timer = None
        self._send()

    def _send(self) -> None:
        """Let as many batches leave as may; the rest leaves when one comes home."""
        while self._waiting and len(self._in_flight) < self._gathering.max_in_flight:
            batch = [(question, future) for question, future in self._next() if not future.done()]  # some gave up
            if batch:
                # In a context of its own: a batch is of all its requests, not of the one that happens to send it.
                task = asyncio.create_task(self._run(batch), context=Context())
                self._in_flight.add(task)
                task.add_done_callback(self._came_home)
        if not self._waiting and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next(self) -> list[tuple[Q, asyncio.Future[A]]]:
        """Those of the company whose turn it is; what a batch does not hold of it waits for its next turn."""
        key = next(iter(self._waiting))
        company = self._waiting.pop(key)
        batch = [company.popleft() for _ in range(min(len(company), self._gathering.max_batch))]
        if company:
            self._waiting[key] = company
        return batch

    def _came_home(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._send()

    async def _run(self, batch: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._answer([question for question, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        except Exception as exc:  # noqa: BLE001  # it belongs to those who wait, not to this task
            for _, future in batch:
                if not future.done():
                    future.set_exception(exc)
