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
    user, users = _encode(events["user_id"], vocabulary.index_of)
    content, contents = _encode(events["content_id"], catalogue.index_of)
    user, content = users[user], contents[content]
    kind = pc.index_in(events["event_type"], value_set=_TYPE_CODE)
    second = events["ts"].cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64())
    kept = (user > 0) & (content >= 0)
    columns = {
        "user": user[kept].astype(np.int32),
        "content": content[kept].astype(np.int32),
        "event_type": kind.to_numpy()[kept].astype(np.int8),
        "ts": second.to_numpy()[kept],
    }
    return pa.table(columns)


def _encode(
    column: pa.ChunkedArray, index_of: Callable[[list[str]], NDArray[np.int32]]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Positions into the distinct ids, and the index of each distinct id: every id is looked up once."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy(), index_of(encoded.dictionary.to_pylist())


def build_dataset(contents: pa.Table, users: pa.Table, events: pa.Table) -> Dataset:
    """From tables of CONTENT_SCHEMA, USER_SCHEMA and EVENT_SCHEMA."""
    catalogue, vocabulary = Catalogue.build(contents), LearnerVocabulary.build(users)
    table = index_events(events, catalogue=catalogue, vocabulary=vocabulary)
    columns = [table[name].to_numpy() for name in ("user", "content", "event_type", "ts")]
    return Dataset(catalogue, vocabulary, EventArrays.sort(*columns))
