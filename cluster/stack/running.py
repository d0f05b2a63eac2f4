"""Start one engine and stop it again: the same for `learnrec up` and for tests."""

import socket
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from app.errors import LearnrecError, Unavailable
from cluster.stack.engine import LOOPBACK, Engine
from cluster.stack.processes import ENGINE_MARKER, STACK_MARKER, marked, spawn, stop, wait_until_gone

POLL_S = 0.1
LOG_TAIL_LINES = 15


@dataclass(frozen=True)
class Running:
    """An engine and its main process, which may not answer yet."""

    engine: Engine
    process: psutil.Popen
    stack: str
    log: Path
    started_at: float = field(default_factory=time.monotonic)

    def answers(self) -> bool:
        """Whether it answers by now. Raises LearnrecError, with the end of the log, where it died or is too late."""
        engine = self.engine
        code = self.process.poll()
        if code is not None:
            raise LearnrecError(f"{engine.title} ended with code {code} while it started. {tail(self.log)}")
        try:
            reach(LOOPBACK, engine.port)  # much cheaper than a ping, and it starts for many seconds
            engine.ping(engine.address)
        except Unavailable as exc:
            if time.monotonic() - self.started_at > engine.start_timeout_s:
                reason = f"{engine.title} did not answer within {engine.start_timeout_s:.0f} s ({exc.reason})"
                raise LearnrecError(f"{reason}. {tail(self.log)}") from exc
            return False
        return True

    def stop(self) -> list[psutil.Process]:
        """Returns the processes that are left: none."""
        return stop_engine(self.engine, self.process, stack=self.stack)


def spawn_engine(engine: Engine, *, stack: str, environment: dict[str, str], log: Path) -> Running:
    """Prepare and start the engine, without waiting. `environment` is complete but for the markers.

    Raises LearnrecError: its data cannot be used.
    """
    engine.prepare()
    markers = {STACK_MARKER: stack, ENGINE_MARKER: engine.name}
    return Running(engine, spawn(engine.launch(), environment={**environment, **markers}, log=log), stack, log)


def wait_for(starting: Iterable[Running]) -> Iterable[Running]:
    """Yields each as soon as it answers. Raises LearnrecError at the first that does not."""
    waiting = list(starting)
    while waiting:
        for one in list(waiting):
            if one.answers():
                waiting.remove(one)
                yield one
        time.sleep(POLL_S)


@contextmanager
def alone(engine: Engine, *, stack: str, environment: dict[str, str], log: Path) -> Iterator[None]:
    """The engine, beside any stack of `learnrec up`: it answers within, and is gone afterwards.

    Raises LearnrecError: it does not start, or does not end.
    """
    started = spawn_engine(engine, stack=stack, environment=environment, log=log)
    try:
        list(wait_for([started]))
        yield
    finally:
        left = started.stop()
    if left:
        raise LearnrecError(f"{engine.title} leaves processes that do not end: {left}")


def stop_engine(
    engine: type[Engine] | Engine, process: psutil.Process | None, *, stack: str, sessions: Collection[int] = ()
) -> list[psutil.Process]:
    """Stop the engine's main process in its own way, then whatever else of the engine is left.

    `sessions`: those that its main process is known to have opened. Returns what is left after all: none.
    """
    if process is not None:
        sessions = {process.pid, *sessions}
        with suppress(psutil.Error):  # gone already
            process.send_signal(engine.stop_signal)
        wait_until_gone([process], timeout_s=engine.stop_timeout_s)
    return stop(lambda: marked(stack, engine=engine.name, sessions=sessions))


def reach(host: str, port: int) -> None:
    """Raises Unavailable: nothing listens."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError as exc:
        raise Unavailable(f"{host}:{port}", str(exc)) from exc


def tail(log: Path) -> str:
    """The last lines of a log, with its name."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
    return f"The end of {log}:\n" + "\n".join(f"  {line}" for line in lines or ["(empty)"])
