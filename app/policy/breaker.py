"""A breaker: after a dependency failed, callers stop waiting for it for a while."""

from dataclasses import dataclass

FAIR_SHARE = 0.15
"""Of a request's usual budget."""


@dataclass(slots=True)
class Breaker:
    """Closed, it lets every call through; `threshold` failures in a row open it for `cool_down_s`.

    Then one call is let through as a probe, and its outcome closes the breaker or opens it again. Times are monotonic
    seconds and come from the caller.
    """

    cool_down_s: float = 1.0
    threshold: int = 1
    _failures: int = 0
    _open_until: float | None = None

    def allows(self, now: float) -> bool:
        """Asking is taking: of those that come after the cool-down, the first is the probe."""
        if self._open_until is None:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + self.cool_down_s  # for the others, and should this probe never report back
        return True

    def succeeded(self) -> None:
        self._failures, self._open_until = 0, None

    def failed(self, now: float) -> None:
        self._failures += 1
        if self._failures >= self.threshold:
            self._open_until = now + self.cool_down_s

    @property
    def closed(self) -> bool:
        return self._open_until is None


def is_fair(deadline_s: float, *, budget_s: float) -> bool:
    """Whether being later than that says anything of a dependency.

    A request in a hurry, or one that lost its time before, leaves less than any dependency needs; were that counted,
    one such client would open the breaker for all.
    """
    return deadline_s >= FAIR_SHARE * budget_s
