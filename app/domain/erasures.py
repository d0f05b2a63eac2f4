"""Learners who were erased: what is left of them is a pseudonym, so that what is still said of them can be dropped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa

from app.domain.pseudonyms import PseudonymKey

_ALL, _EVER = np.iinfo(np.int64).min, np.iinfo(np.int64).max  # microseconds from which on events are kept


@dataclass(frozen=True, slots=True)
class Erasure:
    """One learner's, from the request on."""

    learner: str  # pseudonym
    key_name: str  # of its key
    requested_at: datetime
    finished_at: datetime | None = None
    lifted_at: datetime | None = None  # the learner came back
    removed: Mapping[str, int] = field(default_factory=dict)  # rows, keys, … by store
    receipt: str | None = None  # signed


@dataclass(frozen=True, slots=True)
class Tombstones:
    """`by_key`: of every key, the pseudonyms of those who were erased, and when they came back, if they did."""

    by_key: Mapping[PseudonymKey, Mapping[str, datetime | None]] = field(default_factory=dict)

    def stands_for(self, user_id: str) -> bool:
        """Whether the learner is erased now. `user_id` is canonical."""
        return self._kept_from_us(user_id) == _EVER

    def kept(self, events: pa.Table) -> pa.Table:
        """Without those of the erased; of those who came back, what is older than that is dropped. EVENT_SCHEMA."""
        if not self.by_key or not len(events):
            return events
        encoded = events["user_id"].combine_chunks().dictionary_encode()
        from_us = np.array([self._kept_from_us(user_id) for user_id in encoded.dictionary.to_pylist()], np.int64)
        if not (from_us > _ALL).any():
            return events
        ts_us = events["ts"].cast(pa.int64()).to_numpy()
        return events.filter(pa.array(ts_us >= from_us[encoded.indices.to_numpy()]))

    def _kept_from_us(self, user_id: str) -> int:
        """Unix microseconds from which on events of the learner are kept."""
        bounds = [_ALL]
        for key, of in self.by_key.items():
            pseudonym = key.of(user_id)
            if pseudonym in of:
                lifted = of[pseudonym]
                bounds.append(_EVER if lifted is None else int(lifted.timestamp() * 1e6))
        return max(bounds)
