"""Item features: popularity as of a moment, and what is popular or new."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.features.learners import EventArrays

DAY_S = 86_400
POPULAR = 200
"""Length of the lists of popular and new contents."""


@dataclass(frozen=True, slots=True)
class Popularity:
    """Learners who met each content, as of a moment; row = catalogue index."""

    total: NDArray[np.float32]  # [I] ever
    month: NDArray[np.float32]  # [I] in the last 30 days
    week: NDArray[np.float32]  # [I] in the last 7 days

    @property
    def recent(self) -> NDArray[np.float32]:
        """What orders the popular: the last week first, then the last month, then ever. `[I]`."""
        return (self.week + 0.05 * self.month + 1e-4 * self.total).astype(np.float32)

    @property
    def trend(self) -> NDArray[np.float32]:
        """Logarithm of the week's daily rate over the month's; 0 is steady. `[I]`."""
        return np.log((self.week / 7 + 0.1) / (self.month / 30 + 0.1)).astype(np.float32)


def as_share(count: NDArray[np.float32]) -> NDArray[np.float32]:
    """Counts to 0..1, logarithmic, 1 for the greatest. Same shape."""
    scale = np.log1p(count.max(initial=0.0)) or 1.0
    return (np.log1p(count) / scale).astype(np.float32)


def popularity(pairs: EventArrays, *, now: int, num_items: int) -> Popularity:
    """Counts of `pairs` (one row a learner and content) before `now` (Unix seconds)."""
    before = pairs.ts < now

    def count(days: float) -> NDArray[np.float32]:
        rows = before & (pairs.ts >= now - days * DAY_S)
        return np.bincount(pairs.content[rows], minlength=num_items).astype(np.float32)

    return Popularity(total=count(np.inf), month=count(30), week=count(7))


def popular_lists(
    pairs: EventArrays, *, cohort_of_user: NDArray[np.int32], num_cohorts: int, now: int, num_items: int
) -> NDArray[np.int32]:
    """The most popular contents, overall (row 0) and by cohort. `[num_cohorts + 1, min(POPULAR, I)]`.

    A cohort's own counts come first; the overall order fills up and breaks ties.
    """
    overall = popularity(pairs, now=now, num_items=num_items).recent
    length = min(POPULAR, num_items)
    rows = [np.argsort(-overall, kind="stable")[:length]]
    cohort = cohort_of_user[pairs.user]
    tie = overall / (overall.max(initial=0.0) + 1.0)
    for number in range(1, num_cohorts + 1):
        own = popularity(pairs.take(cohort == number), now=now, num_items=num_items).recent
        rows.append(np.argsort(-(own + 1e-3 * tie), kind="stable")[:length])
    return np.stack(rows).astype(np.int32)


def newest(created_at: NDArray[np.int64], *, now: int, days: int = 30) -> NDArray[np.int32]:
    """Contents made in the last `days` before `now`, newest first, at most POPULAR. `[n]`."""
    fresh = np.flatnonzero((created_at <= now) & (created_at > now - days * DAY_S))
    return fresh[np.argsort(-created_at[fresh], kind="stable")][:POPULAR].astype(np.int32)


def first_meetings(events: EventArrays) -> NDArray[np.int64]:
    """Rows of `events` at which a learner meets a content for the first time, in order. `[m]`."""
    key = events.user.astype(np.int64) * (int(events.content.max(initial=0)) + 1) + events.content
    _, rows = np.unique(key, return_index=True)  # events are sorted by time within a learner: the first is the earliest
    return np.sort(rows)
