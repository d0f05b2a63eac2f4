"""What is known of a batch of learners at the moment of asking, from the stores that answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from app.domain.events import EventType
from app.domain.learners import Learners
from app.features.learners import learner_features, windows_from_rows
from app.models.release import Release
from app.policy.ladder import is_personal
from app.policy.order import completed_index
from app.ports.metadata import LearnerRecords
from app.ports.online_features import OnlineLearners


@dataclass(frozen=True, slots=True)
class Known:
    """All `[B, …]`, in the order asked."""

    learners: Learners
    exclude: NDArray[np.int32]  # [B, E] what was completed, padding -1
    personal: NDArray[np.bool_]  # [B] whom the models can answer for
    cached: NDArray[np.float32]  # [B, dim] embeddings of an earlier request, rows of NaN where there is none


def know(
    user_ids: Sequence[str],
    *,
    records: LearnerRecords | None,
    online: OnlineLearners | None,
    release: Release,
    now: datetime,
    opted_out: Sequence[bool] = (),
) -> Known:
    """Features and exclusions of the learners; a store that did not answer is None and adds nothing.

    Of those who opted out nothing is used. Whom PostgreSQL does not know is unknown to the models too: they may have
    been erased since the release was trained.
    """
    size = len(user_ids)
    out = np.array(opted_out, np.bool_) if opted_out else np.zeros(size, np.bool_)
    known = ~out
    if records is not None:
        out, known = out | records.opted_out, records.known & ~out & ~records.opted_out
    contents, event_types, ts = _events(records, online, out)
    user_index = np.where(known, release.vocabulary.index_of(user_ids), 0).astype(np.int32)
    windows = windows_from_rows(
        contents,
        event_types,
        ts,
        catalogue=release.catalogue,
        now=np.full(size, int(now.timestamp()), np.int64),
    )
    learners = learner_features(
        windows, user_index=user_index, cohort_index=_cohorts(records, user_index, out, release)
    )
    completed = [[] if out[row] else _completed(records, row, contents[row], event_types[row]) for row in range(size)]
    return Known(
        learners=learners,
        exclude=completed_index(completed, release.catalogue.index_of),
        personal=is_personal(learners, opted_out=out),
        cached=online.embeddings if online else np.full((size, release.manifest.embedding_dim), np.nan, np.float32),
    )


Events = tuple[list[list[str]], list[list[str]], list[list[int]]]


def _events(records: LearnerRecords | None, online: OnlineLearners | None, opted_out: NDArray[np.bool_]) -> Events:
    """Contents, types and times of each learner's events, of both stores; repeats are dealt with later."""
    found = [store for store in (online, records) if store is not None]
    kept = [found if not out else [] for out in opted_out]
    return (
        [list(chain.from_iterable(store.contents[row] for store in stores)) for row, stores in enumerate(kept)],
        [list(chain.from_iterable(store.event_types[row] for store in stores)) for row, stores in enumerate(kept)],
        [list(chain.from_iterable(store.ts[row] for store in stores)) for row, stores in enumerate(kept)],
    )


def _completed(
    records: LearnerRecords | None, row: int, contents: Sequence[str], event_types: Sequence[str]
) -> list[str]:
    recent = [c for c, kind in zip(contents, event_types, strict=True) if kind == EventType.COMPLETE]
    return [*(records.completed[row] if records else ()), *recent]


def _cohorts(
    records: LearnerRecords | None, user_index: NDArray[np.int32], opted_out: NDArray[np.bool_], release: Release
) -> NDArray[np.int32]:
    """By what is stored now, else as the release learned it; 0 for those who opted out."""
    if records is None:
        return release.vocabulary.cohort_of_user[user_index]
    tags = [None if out else tag for tag, out in zip(records.cohort, opted_out, strict=True)]
    return release.vocabulary.cohort_index_of(tags)
