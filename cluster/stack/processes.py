"""Processes of a stack: started in sessions of their own, marked in their environment, found and stopped by number.

A process belongs to a stack if its environment says so, or if it is in the session of one that does, or below one.
All are needed: some of Ray's and PostgreSQL's processes write their title over their environment, others open sessions.
"""

import os
import pwd
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cluster.stack.engine import Launch

STACK_MARKER = "LEARNREC_STACK"
"""Names the stack (its VAR) in the environment of everything that it started, orphans included."""

ENGINE_MARKER = "LEARNREC_ENGINE"

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one scan saw of a process; `environment` is None where it cannot be read, or was overwritten."""

    process: psutil.Process
    parent: int
    session: int
    environment: Mapping[str, str] | None


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


def scan() -> list[Sighting]:
    """Every process but this one and its parents."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    sightings = (_look_at(process) for process in psutil.process_iter() if process.pid not in own)
    return [one for one in sightings if one is not None]


def _look_at(process: psutil.Process) -> Sighting | None:
    """None where it has ended."""
    try:
        parent, session = process.ppid(), os.getsid(process.pid)
        try:
            return Sighting(process, parent, session, process.environ() or None)
        except psutil.AccessDenied:
            return Sighting(process, parent, session, None)
    except (psutil.Error, OSError):
        return None


def marked(
    stack: str, *, engine: str | None = None, sessions: Collection[int] = (), seen: Iterable[Sighting] | None = None
) -> list[psutil.Process]:
    """Every process of the stack (and of the engine). `sessions`: known to be its own, by the numbers on record."""
    sightings = list(scan() if seen is None else seen)

    def carries(one: Sighting) -> bool:
        environment = one.environment or {}
        return environment.get(STACK_MARKER) == stack and engine in (None, environment.get(ENGINE_MARKER))

    certain = [one for one in sightings if carries(one)]
    opened = {one.session for one in certain if one.session == one.process.pid} | set(sessions)
    orphaned = {one.session for one in certain} - {one.process.pid for one in sightings} - {os.getsid(0)}
    found = {one.process.pid: one for one in certain}
    unmarked = [one for one in sightings if STACK_MARKER not in (one.environment or {})]
    found |= {one.process.pid: one for one in unmarked if one.session in opened | orphaned}
    while below := [one for one in unmarked if one.parent in found and one.process.pid not in found]:
        found |= {one.process.pid: one for one in below}
    return [one.process for one in found.values() if one.process.is_running()]


def stacks(seen: Iterable[Sighting]) -> dict[str, int]:
    """The stacks that have processes on this machine, with how many."""
    counts: dict[str, int] = {}
    for one in seen:
        if one.environment is not None and (stack := one.environment.get(STACK_MARKER)):
            counts[stack] = counts.get(stack, 0) + 1
    return counts


def stop(find: Callable[[], Iterable[psutil.Process]], *, timeout_s: float = 5.0) -> list[psutil.Process]:
    """Ask every process that `find` finds to end, then kill; it is asked again, since the dying may have children.

    Returns those that are left: none, but where a process is not ours to end or hangs in the kernel.
    """
    for ask in (psutil.Process.terminate, psutil.Process.kill, psutil.Process.kill):
        found = list(find())
        if not found:
            return []
        for process in found:
            with suppress(psutil.Error):
                ask(process)
        wait_until_gone(found, timeout_s=timeout_s)
    return list(find())


def wait_until_gone(processes: Iterable[psutil.Process], *, timeout_s: float) -> bool:
    """Whether all ended in time. A zombie has: in a container without an init nobody may ever collect it."""
    deadline = time.monotonic() + timeout_s
    alive = list(processes)
    while alive := [process for process in alive if not _has_ended(process)]:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def _has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.Error:
        return True
