"""Admission: how many requests may be under way at once, so that those let in are answered in time.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), on the number under way: while answers come in time
and the room is used, it grows by and by; an answer that took too long shrinks it to what Little's law says would fit.
"""

from dataclasses import dataclass

AIM = 0.75
"""Of a request's budget: what takes longer is a sign of too many."""

GROWTH = 0.125  # for each answer that came in time
SHRINKS_TO = 0.5  # at most, at a time


@dataclass(slots=True)
class Admission:
    """Between `least` and `most` requests under way. Times are monotonic seconds and come from the caller."""

    least: int
    most: int
    budget_s: float
    num_under_way: int = 0
    _limit: float = 0.0
    _shrunk_at: float = float("-inf")

    def __post_init__(self) -> None:
        self._limit = float(self.most)

    @property
    def limit(self) -> int:
        return int(self._limit)

    def enter(self) -> bool:
        """Whether there is room; who enters must leave."""
        if self.num_under_way >= self.limit:
            return False
        self.num_under_way += 1
        return True

    def leave(self, *, took_s: float | None, now: float) -> None:
        """`took_s` from entering to the answer; None where that says nothing of how busy it is."""
        used, self.num_under_way = self.num_under_way, self.num_under_way - 1
        if took_s is None:
            return
        aim_s = AIM * self.budget_s
        if took_s <= aim_s:
            if used > self._limit / 2:
                self._limit = min(self._limit + GROWTH, float(self.most))
        elif now - self._shrunk_at >= self.budget_s:  # what was under way then has left
            self._shrunk_at = now
            fitting = min(used, self._limit) * max(aim_s / took_s, SHRINKS_TO)
            self._limit = max(fitting, float(self.least))
