"""A dataset: catalogue, learners and events in index space; what a feature run holds and every training starts from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from app.domain.events import EVENT_TYPES
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.items import first_meetings
from app.features.learners import EventArrays

_TYPE_CODE = pa.array([str(t) for t in EVENT_TYPES])


@dataclass(frozen=True, slots=True)
class Dataset:
    """Events of known learners on known contents."""

    catalogue: Catalogue
    vocabulary: LearnerVocabulary
    events: EventArrays

    @property
    def pairs(self) -> EventArrays:
        """First meetings only: one row a learner and content, at its first time."""
        return self.events.take(first_meetings(self.events))


def index_events(events: pa.Table, *, catalogue: Catalogue, vocabulary: LearnerVocabulary) -> pa.Table:
    """EVENT_SCHEMA to INDEX_EVENT_SCHEMA; events of unknown learners or on unknown contents are left out."""
    user = encode_ids(events["user_id"], vocabulary.index_of)
    content = encode_ids(events["content_id"], catalogue.index_of)
    kind = pc.call_function("index_in", [events["event_type"]], pc.SetLookupOptions(_TYPE_CODE))
    second = events["ts"].cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64())
    kept = (user > 0) & (content >= 0)
    columns = {
        "user": user[kept].astype(np.int32),
        "content": content[kept].astype(np.int32),
        "event_type": kind.to_numpy()[kept].astype(np.int8),
        "ts": second.to_numpy()[kept],
    }
    return pa.table(columns)


def encode_ids(
    column: pa.ChunkedArray | pa.Array, index_of: Callable[[list[str]], NDArray[np.int32]]
) -> NDArray[np.int32]:
    """The index of every id in the column; `index_of` is asked once for the distinct ones. `[n]`."""
    encoded = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).dictionary_encode()
    return index_of(encoded.dictionary.to_pylist())[encoded.indices.to_numpy()]


def build_dataset(contents: pa.Table, users: pa.Table, events: pa.Table) -> Dataset:
    """From tables of CONTENT_SCHEMA, USER_SCHEMA and EVENT_SCHEMA."""
    catalogue, vocabulary = Catalogue.build(contents), LearnerVocabulary.build(users)
    table = index_events(events, catalogue=catalogue, vocabulary=vocabulary)
    columns = [table[name].to_numpy() for name in ("user", "content", "event_type", "ts")]
    return Dataset(catalogue, vocabulary, EventArrays.sort(*columns))
