"""A breaker: after a dependency failed, callers stop waiting for it for a while."""

from dataclasses import dataclass


@dataclass(slots=True)
class Breaker:
    """Closed, it lets every call through. A failure opens it for `cool_down_s`; then one call at a time may probe.

    Times are monotonic seconds and come from the caller.
    """

    cool_down_s: float = 1.0
    _open_until: float | None = None

    def allows(self, now: float) -> bool:
        """Asking is taking: of those that wait for the end of the cool-down, the first to ask is the probe."""
        if self._open_until is None:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + self.cool_down_s  # the next probe, should this one never report back
        return True

    def succeeded(self) -> None:
        self._open_until = None

    def failed(self, now: float) -> None:
        self._open_until = now + self.cool_down_s

    @property
    def closed(self) -> bool:
        return self._open_until is None
