"""Which signals are interruptions."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cluster.stack.signals import terminable


@contextmanager
def handled(number: signal.Signals, handler: Any) -> Iterator[None]:
    """Whatever this process was started with."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_polite_kill_and_a_closed_terminal_interrupt_like_ctrl_c(number: signal.Signals) -> None:
    with handled(number, signal.SIG_DFL):
        with pytest.raises(KeyboardInterrupt), terminable():
            os.kill(os.getpid(), number)
        assert signal.getsignal(number) == signal.SIG_DFL


def test_what_the_parent_had_ignored_stays_ignored() -> None:
    with handled(signal.SIGHUP, signal.SIG_IGN), terminable():
        os.kill(os.getpid(), signal.SIGHUP)
