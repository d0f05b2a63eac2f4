"""Interruptions that libraries swallow."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from cluster.stack.signals import heed, terminable


@contextmanager
def handled(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Whatever this process was started with."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_that_was_swallowed_is_heeded_until_its_work_is_over(number: signal.Signals) -> None:
    with handled(number, signal.SIG_DFL), terminable():
        heed()
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            heed()
    heed()


def test_what_the_parent_had_ignored_stays_ignored() -> None:
    with handled(signal.SIGHUP, signal.SIG_IGN), terminable():
        os.kill(os.getpid(), signal.SIGHUP)
        heed()
