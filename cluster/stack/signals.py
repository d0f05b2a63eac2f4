"""Interruptions: what starts things is told of all of them alike, what stops things of none."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

POLITE = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def terminable() -> Iterator[None]:
    """Within, a polite kill or a closed terminal is an interruption like Ctrl-C, so that what was begun is undone."""
    heard = [number for number in (signal.SIGINT, *POLITE) if signal.getsignal(number) != signal.SIG_IGN]
    before = [signal.signal(number, signal.default_int_handler) for number in heard]
    try:
        yield
    finally:
        for number, handler in zip(heard, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Within, here and in processes that are started here, a second Ctrl-C does not leave half of it behind."""
    numbers = (signal.SIGINT, *POLITE)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
