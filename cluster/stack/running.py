"""Start one engine and stop it again: the same for `learnrec up` and for tests."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from app.errors import LearnrecError, Unavailable
from cluster.stack.engine import Engine
from cluster.stack.processes import ENGINE_MARKER, STACK_MARKER, marked, spawn, stop, with_children

POLL_S = 0.05
LOG_TAIL_LINES = 15


def start(
    engine: Engine, *, stack: str, environment: dict[str, str], log: Path, on_spawn: Callable[[psutil.Popen], None]
) -> None:
    """Start the engine and wait until it answers; `on_spawn` gets the process as soon as there is one.

    `environment` is complete but for the markers. Raises LearnrecError, with the end of the log, where the engine
    dies or does not answer in time; it is stopped then.
    """
    engine.prepare()
    markers = {STACK_MARKER: stack, ENGINE_MARKER: engine.name}
    process = spawn(engine.launch(), environment={**environment, **markers}, log=log)
    try:
        on_spawn(process)
        wait_until_it_answers(engine, process, log=log)
    except BaseException:
        stop_engine(engine, process, stack=stack)
        raise


def wait_until_it_answers(engine: Engine, process: psutil.Popen, *, log: Path) -> None:
    deadline = time.monotonic() + engine.start_timeout_s
    while True:
        code = process.poll()
        if code is not None:
            raise LearnrecError(f"{engine.title} ended with code {code} while it started.\n{tail(log)}")
        try:
            return engine.ping(engine.address)
        except Unavailable as exc:
            if time.monotonic() > deadline:
                reason = f"{engine.title} did not answer within {engine.start_timeout_s:.0f} s ({exc.reason})"
                raise LearnrecError(f"{reason}.\n{tail(log)}") from exc
        time.sleep(POLL_S)


def stop_engine(engine: Engine, process: psutil.Process | None, *, stack: str) -> None:
    """Stop the engine's main process in its own way, then whatever else of the engine is left."""
    rest = with_children([process] if process is not None else [])
    if process is not None:
        try:
            process.send_signal(engine.stop_signal)
            process.wait(engine.stop_timeout_s)
        except psutil.Error:  # gone already, or too slow
            pass
    stop([*rest, *marked(stack, engine=engine.name)])


def tail(log: Path) -> str:
    """The last lines of a log, with its name."""
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
    return f"The end of {log}:\n" + "\n".join(f"  {line}" for line in lines or ["(empty)"])
