"""Admission: how many requests may be under way at once, so that those let in are answered in time.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), on the number under way: while answers come in time
and the room is used, it grows by and by; too many late ones shrink it to what Little's law says would fit.
"""

from dataclasses import dataclass

AIM = 0.85
"""Of a request's budget: what takes longer is late."""

MAX_LATE = 0.1
"""Share of late answers in a window that is no sign of anything yet."""

GROWTH, SHRINKS_TO = 0.02, 0.5
"""Of the room, for each window: what it grows by, and what it shrinks to at most."""


@dataclass(slots=True)
class Admission:
    """Between `least` and `most` requests under way. Times are monotonic seconds and come from the caller.

    Looks at windows as long as the budget: after a change, those let in before have left.
    """

    least: int
    most: int
    budget_s: float
    num_under_way: int = 0
    _room: float = 0.0
    _window_ends: float = 0.0
    _peak: int = 0
    _num_answers: int = 0
    _num_late: int = 0
    _late_s: float = 0.0  # their sum

    def __post_init__(self) -> None:
        self._room = float(self.most)

    @property
    def limit(self) -> int:
        return int(self._room)

    @property
    def has_room(self) -> bool:
        return self.num_under_way < self.limit

    def enter(self) -> None:
        """Who enters must leave."""
        self.num_under_way += 1
        self._peak = max(self._peak, self.num_under_way)

    def leave(self, *, took_s: float | None, now: float) -> None:
        """`took_s` from entering to the answer; None where that says nothing of how busy it is."""
        self.num_under_way -= 1
        if took_s is None:
            return
        self._num_answers += 1
        if took_s > AIM * self.budget_s:
            self._num_late += 1
            self._late_s += took_s
        if now >= self._window_ends:
            self._adjust()
            self._window_ends, self._peak = now + self.budget_s, self.num_under_way
            self._num_answers, self._num_late, self._late_s = 0, 0, 0.0

    def _adjust(self) -> None:
        if self._num_late > MAX_LATE * self._num_answers:
            fitting = AIM * self.budget_s * self._num_late / self._late_s
            self._room = max(min(self._peak, self._room) * max(fitting, SHRINKS_TO), float(self.least))
        elif self._peak > self._room / 2:
            self._room = min(self._room * (1 + GROWTH) + 1, float(self.most))
