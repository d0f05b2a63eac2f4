"""Learner features: windows of recent events, and what the models see of them.

Training makes its windows from sorted event arrays, at each example's place in time; serving makes them from rows of
PostgreSQL and Redis, now. From the windows on there is one implementation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from app.domain.events import EVENT_STRENGTH, EVENT_TYPES, SESSION_GAP_S, EventType
from app.domain.learners import HISTORY, WINDOW, EventWindows, Learners
from app.features.catalogue import Catalogue

_COMPLETE = EVENT_TYPES.index(EventType.COMPLETE)
_TYPE_CODE = {str(name): code for code, name in enumerate(EVENT_TYPES)}


@dataclass(frozen=True, slots=True)
class EventArrays:
    """Events in index space, sorted by learner, then time, then order of arrival."""

    user: NDArray[np.int32]  # [n] user index, 1..
    content: NDArray[np.int32]  # [n] catalogue index
    event_type: NDArray[np.int8]  # [n]
    ts: NDArray[np.int64]  # [n] Unix seconds

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def sort(
        cls,
        user: NDArray[np.int32],
        content: NDArray[np.int32],
        event_type: NDArray[np.int8],
        ts: NDArray[np.int64],
    ) -> "EventArrays":
        order = np.lexsort((ts, user))
        return cls(user[order], content[order], event_type[order], ts[order])

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> "EventArrays":
        return EventArrays(self.user[rows], self.content[rows], self.event_type[rows], self.ts[rows])


def windows_before(events: EventArrays, rows: NDArray[np.int64]) -> EventWindows:
    """What was known of the learner of each event `rows` `[B]` just before it: point in time, by order of events."""
    start = np.searchsorted(events.user, events.user[rows], side="left")
    return _windows(events, start=start, stop=rows, now=events.ts[rows])


def windows_at(events: EventArrays, user: NDArray[np.int32], now: NDArray[np.int64]) -> EventWindows:
    """What was known of learners `user` `[B]` at moments `now` `[B]`: events up to and with that second."""
    start = np.searchsorted(events.user, user, side="left")
    key = (events.user.astype(np.int64) << 36) + events.ts
    stop = np.searchsorted(key, (user.astype(np.int64) << 36) + now, side="right")
    return _windows(events, start=start, stop=stop, now=now)


def _windows(
    events: EventArrays, *, start: NDArray[np.int64], stop: NDArray[np.int64], now: NDArray[np.int64]
) -> EventWindows:
    at = stop[:, None] - 1 - np.arange(WINDOW)[None, :]
    inside = at >= start[:, None]
    at = np.where(inside, at, 0)
    if not len(events):
        at, inside = np.zeros((len(now), 0), np.int64), np.zeros((len(now), 0), np.bool_)
    return EventWindows(
        content=_padded(np.where(inside, events.content[at], -1), -1).astype(np.int32),
        event_type=_padded(np.where(inside, events.event_type[at], 0), 0).astype(np.int8),
        ts=_padded(np.where(inside, events.ts[at], 0), 0).astype(np.int64),
        now=now,
    )


def _padded(matrix: NDArray[np.int64], fill: int) -> NDArray[np.int64]:
    if matrix.shape[1] == WINDOW:
        return matrix
    return np.pad(matrix, ((0, 0), (0, WINDOW - matrix.shape[1])), constant_values=fill)


def windows_from_rows(
    contents: Sequence[Sequence[str]],
    event_types: Sequence[Sequence[str]],
    ts: Sequence[Sequence[int]],
    *,
    catalogue: Catalogue,
    now: NDArray[np.int64],
) -> EventWindows:
    """Windows of `B` learners from a list of events each, in any order, repeats allowed (two stores may hold one).

    The same content, type and second is one event. Contents that the catalogue lacks are left out.
    """
    size = np.array([len(row) for row in contents], np.int64)
    row = np.repeat(np.arange(len(size)), size)
    index = catalogue.index_of(chain.from_iterable(contents)).astype(np.int64)
    code = np.fromiter((_TYPE_CODE[t] for t in chain.from_iterable(event_types)), np.int64, len(row))
    second = np.fromiter(chain.from_iterable(ts), np.int64, len(row))
    known = index >= 0
    row, index, code, second = row[known], index[known], code[known], second[known]
    order = np.lexsort((code, index, -second, row))
    row, index, code, second = row[order], index[order], code[order], second[order]
    fields = np.stack([row, index, code, second])
    fresh = np.r_[True, np.any(fields[:, 1:] != fields[:, :-1], axis=0)][: len(row)]
    row, index, code, second = row[fresh], index[fresh], code[fresh], second[fresh]
    column = np.arange(len(row)) - np.searchsorted(row, row, side="left")
    kept = column < WINDOW
    windows = EventWindows(
        content=np.full((len(size), WINDOW), -1, np.int32),
        event_type=np.zeros((len(size), WINDOW), np.int8),
        ts=np.zeros((len(size), WINDOW), np.int64),
        now=now,
    )
    windows.content[row[kept], column[kept]] = index[kept]
    windows.event_type[row[kept], column[kept]] = code[kept]
    windows.ts[row[kept], column[kept]] = second[kept]
    return windows


def learner_features(
    windows: EventWindows, *, user_index: NDArray[np.int32], cohort_index: NDArray[np.int32]
) -> Learners:
    """What the models see of `B` learners with these windows."""
    used = windows.content >= 0
    first, strength, completed = _distinct(windows, used)
    place = np.argsort(~first, axis=1, kind="stable")[:, :HISTORY]
    kept = np.take_along_axis(first, place, 1)

    def take(matrix: NDArray[np.generic], fill: float) -> NDArray[np.generic]:
        return np.where(kept, np.take_along_axis(matrix, place, 1), fill)

    age = np.maximum(windows.now[:, None] - windows.ts, 0)
    size = np.maximum(kept.sum(1), 1)
    return Learners(
        user_index=user_index.astype(np.int32),
        cohort_index=cohort_index.astype(np.int32),
        history=take(windows.content, -1).astype(np.int32),
        history_age_s=take(age, 0).astype(np.float32),
        history_strength=take(strength, 0).astype(np.float32),
        num_events=used.sum(1).astype(np.float32),
        completion_rate=(take(completed, 0).sum(1) / size).astype(np.float32),
        session_position=_session_position(windows, used),
        now=windows.now.astype(np.int64),
    )


def _distinct(
    windows: EventWindows, used: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.float32]]:
    """Per cell `[B, WINDOW]`: is it the content's most recent event; the content's best strength; was it completed."""
    order = np.argsort(windows.content, axis=1, kind="stable")  # within a content still most recent first
    content = np.take_along_axis(windows.content, order, 1)
    kind = np.take_along_axis(windows.event_type, order, 1)
    head = np.ones_like(used)
    head[:, 1:] = content[:, 1:] != content[:, :-1]
    starts = np.flatnonzero(head.ravel())
    run = np.cumsum(head.ravel()) - 1
    best = np.maximum.reduceat(EVENT_STRENGTH[kind].ravel(), starts)[run].reshape(head.shape)
    done = np.maximum.reduceat((kind == _COMPLETE).astype(np.float32).ravel(), starts)[run].reshape(head.shape)
    first, strength, completed = np.empty_like(used), np.empty(used.shape, np.float32), np.empty(used.shape, np.float32)
    np.put_along_axis(first, order, head, 1)
    np.put_along_axis(strength, order, best, 1)
    np.put_along_axis(completed, order, done, 1)
    return first & used, strength, completed


def _session_position(windows: EventWindows, used: NDArray[np.bool_]) -> NDArray[np.float32]:
    """How many events the current session has so far: the run of gaps within SESSION_GAP_S back from now. `[B]`."""
    later = np.concatenate([windows.now[:, None], windows.ts[:, :-1]], axis=1)
    near = used & (later - windows.ts <= SESSION_GAP_S)
    return np.logical_and.accumulate(near, axis=1).sum(1).astype(np.float32)
