"""Interruptions that libraries swallow."""

import os
import signal
from contextlib import suppress

import pytest

from cluster.stack.signals import heed, terminable


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_that_was_swallowed_is_heeded_until_its_work_is_over(number: signal.Signals) -> None:
    with terminable():
        heed()
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt):
            heed()
    heed()


def test_what_the_parent_had_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGHUP)
            heed()
    finally:
        signal.signal(signal.SIGHUP, before)
