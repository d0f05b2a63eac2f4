"""Waiting for a condition, with a deadline: never for a time."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], *, seconds: float, every_s: float = 0.1) -> float:
    """Seconds until the condition held; fails the test where it does not in time."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < seconds, f"still not so after {waited:.1f} s"
        time.sleep(every_s)
    return time.monotonic() - began
