"""What training workers tell the driver while it waits for them."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty
from threading import Thread
from typing import TypeVar

from ray.util.queue import Queue

T = TypeVar("T")
POLL_S = 0.5

Message = dict[str, float]


class Messages:
    """A queue on the cluster: workers `say`, the driver hears."""

    def __init__(self) -> None:
        self._queue = Queue(actor_options={"num_cpus": 0})

    def say(self, message: Message) -> None:
        self._queue.put(message)

    def heard(self) -> list[Message]:
        """What was said since the last time; waits POLL_S where nothing was."""
        try:
            return [self._queue.get(timeout=POLL_S), *self._queue.get_nowait_batch(self._queue.qsize())]
        except Empty:
            return []

    def close(self) -> None:
        self._queue.shutdown(force=True)


def follow(work: Callable[[], T], messages: Messages, *, on_message: Callable[[Message], None]) -> T:
    """The result of `work`, every message passed on while it runs.

    `work` has a thread of its own that nobody waits for: Ctrl-C ends the Ray session, and with it the work.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as exc:  # noqa: BLE001  # it is raised again where the result is asked for
            future.set_exception(exc)

    Thread(target=run, daemon=True).start()
    while not future.done():
        for message in messages.heard():
            on_message(message)
    for message in messages.heard():
        on_message(message)
    messages.close()
    return future.result()
