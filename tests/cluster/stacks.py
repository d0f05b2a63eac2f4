"""Stacks for tests: VAR in a temporary folder, some engines started by it, the others pinned to the session's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cluster.stack.down import down
from cluster.stack.engine import Engine
from cluster.stack.processes import marked
from cluster.stack.tell import State
from cluster.stack.var import Var

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass
class Stack:
    """One stack under test; `environment` is what makes a process speak of it."""

    var: Var
    environment: dict[str, str]
    told: list[tuple[str, State, str]] = field(default_factory=list[tuple[str, State, str]])

    def tell(self, part: str, state: State, note: str) -> None:
        self.told.append((part, state, note))

    def heard(self, part: str) -> list[State]:
        """The states that a part was said to take since the last look."""
        return [state for title, state, _ in self.told if title == part]

    def processes(self) -> list[psutil.Process]:
        return marked(self.var.stack)

    def main(self, kind: type[Engine]) -> psutil.Process:
        """The main process of an engine that runs."""
        record = self.var.record(kind)
        process = record.process() if record else None
        assert process is not None, f"{kind.title} does not run"
        return process

    def learnrec(self, *arguments: str) -> subprocess.Popen[str]:
        """The command line, as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "cluster.cli", *arguments],
            env={**os.environ, **self.environment},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def pinned_environment(var: Path, **addresses: str) -> dict[str, str]:
    return {"LEARNREC_VAR_DIR": str(var), **{f"LEARNREC_{name.upper()}": value for name, value in addresses.items()}}


@contextmanager
def stack_in(folder: Path, **addresses: str) -> Iterator[Stack]:
    """A stack whose VAR is `folder`; whatever a test leaves running is stopped."""
    stack = Stack(Var(folder), pinned_environment(folder, **addresses))
    try:
        yield stack
    finally:
        down(stack.var, tell=lambda *_: None)
        assert not stack.processes()


def kill(process: psutil.Process) -> None:
    """End it as a crash would, and wait."""
    process.send_signal(signal.SIGKILL)
    eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "the process is gone")


def eventually(condition: Callable[[], bool], what: str, *, within_s: float = 60.0) -> None:
    """Wait until the condition holds, and fail if it does not in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.02)
