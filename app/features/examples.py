"""Interaction examples: for each first meeting of a learner and a content, what was known just before it."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.domain.events import EVENT_STRENGTH
from app.domain.learners import HISTORY, Learners
from app.features.items import first_meetings
from app.features.learners import EventArrays, learner_features, windows_before

CHUNK = 65_536
"""Examples made at a time: bounds the memory of the windows."""

INDEX_EVENT_SCHEMA = pa.schema(
    [("user", pa.int32()), ("content", pa.int32()), ("event_type", pa.int8()), ("ts", pa.int64())]
)
"""Events in index space: user index (1..), catalogue index, type code, Unix seconds."""

_LISTS = {"history": pa.int32(), "history_age_s": pa.float32(), "history_strength": pa.float32()}
EXAMPLE_SCHEMA = pa.schema(
    [
        ("user_index", pa.int32()),
        ("cohort_index", pa.int32()),
        *((name, pa.list_(kind, HISTORY)) for name, kind in _LISTS.items()),
        ("num_events", pa.float32()),
        ("completion_rate", pa.float32()),
        ("session_position", pa.float32()),
        ("now", pa.int64()),
        ("content", pa.int32()),
        ("strength", pa.float32()),
    ],
    metadata={"version": "1"},
)
"""The columns of Learners, the content met (catalogue index) and the strongest event on it (0.5 or 1)."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Examples as arrays; row r: `learners` row r met `content[r]`."""

    learners: Learners
    content: NDArray[np.int32]  # [n]
    strength: NDArray[np.float32]  # [n]

    def __len__(self) -> int:
        return len(self.content)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Examples":
        """Copies; of a slice, views."""
        return Examples(take_learners(self.learners, rows), self.content[rows], self.strength[rows])


def take_learners(learners: Learners, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Learners:
    return Learners(**{f.name: getattr(learners, f.name)[rows] for f in fields(Learners)})


def pair_strength(events: EventArrays, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """The strongest event that the learner of each of `rows` ever had on its content. `[m]`."""
    key = events.user.astype(np.int64) * (int(events.content.max(initial=0)) + 1) + events.content
    unique, inverse = np.unique(key, return_inverse=True)
    best = np.zeros(len(unique), np.float32)
    np.maximum.at(best, inverse, EVENT_STRENGTH[events.event_type])
    return best[inverse[rows]]


def make_examples(events: EventArrays, *, cohort_of_user: NDArray[np.int32]) -> Iterator[Examples]:
    """Examples of all events of some whole learners, in order of learner and time, CHUNK at a time."""
    rows = first_meetings(events)
    strength = pair_strength(events, rows)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        user = events.user[part]
        learners = learner_features(windows_before(events, part), user_index=user, cohort_index=cohort_of_user[user])
        yield Examples(learners, events.content[part], strength[start : start + CHUNK])


def interaction_examples(events: pa.Table, *, cohort_of_user: NDArray[np.int32]) -> pa.Table:
    """INDEX_EVENT_SCHEMA in (all events of some learners, any order), EXAMPLE_SCHEMA out."""
    columns = [events[name].to_numpy() for name in INDEX_EVENT_SCHEMA.names]
    parts = [to_table(e) for e in make_examples(EventArrays.sort(*columns), cohort_of_user=cohort_of_user)]
    return pa.concat_tables(parts) if parts else EXAMPLE_SCHEMA.empty_table()


def to_table(examples: Examples) -> pa.Table:
    values = {f.name: getattr(examples.learners, f.name) for f in fields(Learners)}
    values |= {"content": examples.content, "strength": examples.strength}
    lists = {name: pa.FixedSizeListArray.from_arrays(pa.array(values[name].ravel()), HISTORY) for name in _LISTS}
    return pa.table({**values, **lists}, schema=EXAMPLE_SCHEMA)


def from_table(table: pa.Table) -> Examples:
    """Arrays of a table of EXAMPLE_SCHEMA (columns may come in any order, lists of fixed size or not).

    A column is let go as soon as it is an array: where nobody else holds the table, memory holds it once.
    """

    def column(name: str) -> NDArray[Any]:
        nonlocal table
        array = table[name].combine_chunks()
        table = table.drop_columns(name)
        flat = array.flatten() if name in _LISTS else array
        values = flat.to_numpy(zero_copy_only=False)
        return values.reshape(-1, HISTORY) if name in _LISTS else values

    learners = Learners(**{f.name: column(f.name) for f in fields(Learners)})
    return Examples(learners, column("content"), column("strength"))


def concat_examples(parts: list[Examples]) -> Examples:
    learners = {f.name: np.concatenate([getattr(p.learners, f.name) for p in parts]) for f in fields(Learners)}
    content = np.concatenate([p.content for p in parts])
    return Examples(Learners(**learners), content, np.concatenate([p.strength for p in parts]))
