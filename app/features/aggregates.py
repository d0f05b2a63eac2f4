"""Aggregates for people and stores to read: one row a learner, one row a content. The models do not use them."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.domain.events import EVENT_TYPES, EventType
from app.domain.learners import HISTORY
from app.features.catalogue import ContentArrays
from app.features.items import DAY_S, first_meetings
from app.features.learners import EventArrays

FAVOURITE_TAGS = 5

LEARNER_AGGREGATES = pa.schema(
    [
        ("user", pa.int32()),
        ("total_views", pa.int32()),
        ("num_contents", pa.int32()),
        ("completion_rate", pa.float32()),
        ("favourite_tags", pa.list_(pa.int32(), FAVOURITE_TAGS)),
        ("last_items", pa.list_(pa.int32(), HISTORY)),
        ("last_seen", pa.int64()),
    ],
    metadata={"version": "1"},
)
"""Learner index; views; distinct contents; share of them completed; tag and catalogue indices (-1 padding)."""

ITEM_COUNTS = pa.schema(
    [("content", pa.int32()), ("views", pa.int64()), ("completes", pa.int64())]
    + [(f"learners{suffix}", pa.int64()) for suffix in ("", "_30d", "_7d")],
    metadata={"version": "1"},
)
"""Catalogue index; events of two types; learners who first met it ever, in the last 30 and in the last 7 days."""


def learner_aggregates(events: EventArrays, *, contents: ContentArrays) -> pa.Table:
    """LEARNER_AGGREGATES of all learners in `events`."""
    users, start = np.unique(events.user, return_index=True)
    row = np.searchsorted(users, events.user)
    num_users, num_items = len(users), len(contents.created_at)
    pair = np.unique(row.astype(np.int64) * num_items + events.content)
    completes = events.event_type == EVENT_TYPES.index(EventType.COMPLETE)
    done = np.unique(row[completes].astype(np.int64) * num_items + events.content[completes])
    met = np.bincount(pair // num_items, minlength=num_users)
    views = np.bincount(row[events.event_type == EVENT_TYPES.index(EventType.VIEW)], minlength=num_users)
    last = np.r_[start[1:], len(events)] - 1 if num_users else start
    columns = {
        "user": users,
        "total_views": views,
        "num_contents": met,
        "completion_rate": np.bincount(done // num_items, minlength=num_users) / np.maximum(met, 1),
        "favourite_tags": _listed(_favourite_tags(pair // num_items, pair % num_items, num_users, contents)),
        "last_items": _listed(_last_items(row, events.content, num_users)),
        "last_seen": events.ts[last],
    }
    return pa.table({name: pa.array(column) for name, column in columns.items()}).cast(LEARNER_AGGREGATES)


def item_counts(events: EventArrays, *, now: int, num_items: int) -> pa.Table:
    """ITEM_COUNTS of `events`, all of some learners, as of `now` (Unix seconds); counts of parts add up."""
    met = events.take(first_meetings(events))

    def events_of(kind: EventType) -> NDArray[np.int64]:
        return np.bincount(events.content[events.event_type == EVENT_TYPES.index(kind)], minlength=num_items)

    def learners(days: float) -> NDArray[np.int64]:
        return np.bincount(met.content[met.ts >= now - days * DAY_S], minlength=num_items)

    columns = {
        "content": np.arange(num_items),
        "views": events_of(EventType.VIEW),
        "completes": events_of(EventType.COMPLETE),
        "learners": learners(np.inf),
        "learners_30d": learners(30),
        "learners_7d": learners(7),
    }
    return pa.table(columns).cast(ITEM_COUNTS)


def _favourite_tags(
    row: NDArray[np.int64], content: NDArray[np.int64], num_users: int, contents: ContentArrays
) -> NDArray[np.int64]:
    """The tags that most of a learner's contents carry, most frequent first. `[U, FAVOURITE_TAGS]`."""
    tags = contents.tags[content]
    carried = tags >= 0
    num_tags = int(contents.tags.max(initial=-1)) + 1
    key = (np.broadcast_to(row[:, None], tags.shape) * max(num_tags, 1) + tags)[carried]
    unique, count = np.unique(key, return_counts=True)
    order = np.lexsort((unique, -count, unique // max(num_tags, 1)))
    return _first(unique[order] // max(num_tags, 1), unique[order] % max(num_tags, 1), num_users, FAVOURITE_TAGS)


def _last_items(row: NDArray[np.int64], content: NDArray[np.int32], num_users: int) -> NDArray[np.int64]:
    """Distinct contents, most recent first. `[U, HISTORY]`."""
    back_row, back = row[::-1].astype(np.int64), content[::-1]
    _, first = np.unique(back_row * (int(content.max(initial=0)) + 1) + back, return_index=True)
    first = np.sort(first)
    order = np.argsort(back_row[first], kind="stable")
    return _first(back_row[first][order], back[first][order], num_users, HISTORY)


def _first(row: NDArray[np.int64], value: NDArray[np.integer[Any]], num_rows: int, width: int) -> NDArray[np.int64]:
    """The first `width` values of each row, padded with -1; `row` is sorted."""
    column = np.arange(len(row)) - np.searchsorted(row, row, side="left")
    kept = column < width
    result = np.full((num_rows, width), -1, np.int64)
    result[row[kept], column[kept]] = value[kept]
    return result


def _listed(matrix: NDArray[np.int64]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.astype(np.int32).ravel()), matrix.shape[1])
