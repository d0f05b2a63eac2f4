"""Faults of real processes: killed, frozen, or let run only for a part of the time; and their end."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum

import psutil

RUNS_S, STANDS_S = 0.03, 0.17
"""A throttled process runs and stands still in turn: it answers, a dozen times as slowly as it could."""


class Fault(StrEnum):
    KILLED = "killed"
    FROZEN = "frozen"  # it holds its connections, and says nothing
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Victim:
    """Something that answers depend on."""

    name: str
    label: str | None  # what `degraded` says when it is missing; None: it is not asked on a request's path
    processes: Callable[[], list[psutil.Process]]
    revive: Callable[[], None]  # after it was killed; returns when it is back


@contextmanager
def befallen(victim: Victim, fault: Fault) -> Iterator[None]:
    """The fault lasts within; afterwards the victim is back.

    Raises RuntimeError: there is no process to befall.
    """
    processes = victim.processes()
    if not processes:
        raise RuntimeError(f"{victim.name} has no process")
    if fault is Fault.KILLED:
        _each(processes, psutil.Process.kill)
        yield
        victim.revive()
        return
    ended = threading.Event()
    thread = threading.Thread(target=_throttle, args=(processes, ended), daemon=True)
    _each(processes, psutil.Process.suspend)
    if fault is Fault.THROTTLED:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.ident is not None:
            thread.join()
        _each(processes, psutil.Process.resume)


def _throttle(processes: Sequence[psutil.Process], ended: threading.Event) -> None:
    while not ended.wait(STANDS_S):
        _each(processes, psutil.Process.resume)
        ended.wait(RUNS_S)
        _each(processes, psutil.Process.suspend)


def _each(processes: Sequence[psutil.Process], act: Callable[[psutil.Process], object]) -> None:
    for process in processes:
        with suppress(psutil.Error):  # gone already
            act(process)
