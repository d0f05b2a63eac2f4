"""Processes of a stack: started in sessions of their own, marked in their environment, found and stopped by number."""

import os
import pwd
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psutil

from cluster.stack.engine import Launch

STACK_MARKER = "LEARNREC_STACK"
"""Names the stack (its VAR) in the environment of everything that it started, orphans included."""

ENGINE_MARKER = "LEARNREC_ENGINE"


def spawn(launch: Launch, *, environment: dict[str, str], log: Path) -> psutil.Popen:
    """Start the main process of an engine, detached from our terminal, its output appended to `log`."""
    group = None if launch.uid is None else pwd.getpwuid(launch.uid).pw_gid
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return psutil.Popen(
            launch.command,
            env={**environment, **launch.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=None if launch.uid is None else "/",
            start_new_session=True,  # the terminal's Ctrl-C is for us; we stop engines in order
            user=launch.uid,
            group=group,
            extra_groups=None if group is None else [],
        )


def marked(stack: str, *, engine: str | None = None) -> list[psutil.Process]:
    """Every process that carries the stack's marker (and the engine's), but not this one and its parents."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            environment = process.environ() if process.pid not in own else {}
        except (psutil.Error, OSError):
            continue
        if environment.get(STACK_MARKER) == stack and engine in (None, environment.get(ENGINE_MARKER)):
            found.append(process)
    return found


def with_children(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes and everything below them, each once."""
    found: dict[int, psutil.Process] = {}
    for process in processes:
        try:
            below = process.children(recursive=True)
        except psutil.Error:
            below = []
        found.update({one.pid: one for one in (process, *below)})
    return list(found.values())


def stop(processes: Iterable[psutil.Process], *, timeout_s: float = 5.0) -> None:
    """Ask each to end, and kill those that have not after `timeout_s`."""
    alive = list(processes)
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for process in alive:
            try:
                ask(process)
            except psutil.Error:
                continue
        alive = psutil.wait_procs(alive, timeout=timeout_s)[1]
        if not alive:
            return
