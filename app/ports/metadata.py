"""Metadata: learners, contents and the history of events, as PostgreSQL keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LearnerRecords:
    """What is stored about each asked-for learner, in the order asked. Lists are most recent first."""

    known: NDArray[np.bool_]  # [B]
    opted_out: NDArray[np.bool_]  # [B]
    cohort: tuple[str | None, ...]  # [B]
    contents: tuple[Sequence[str], ...]  # [B] content ids of the last events, at most WINDOW
    event_types: tuple[Sequence[str], ...]  # [B]
    ts: tuple[Sequence[int], ...]  # [B] Unix seconds
    completed: tuple[Sequence[str], ...]  # [B] every content that the learner ever completed


@dataclass(frozen=True, slots=True)
class NewEvents:
    """The rows of a batch that are not stored yet, without repeats inside the batch, in its order. EVENT_SCHEMA."""

    known: pa.Table  # on contents that are stored
    unknown_content: pa.Table  # on contents that are not
    num_opted_out: int  # rows that are among neither, as their learners opted out
    num_erased: int  # likewise, as their learners were erased

    def __len__(self) -> int:
        return len(self.known) + len(self.unknown_content) + self.num_opted_out + self.num_erased


class LearnerDirectory(Protocol):
    """For serving: asynchronous, one statement a batch."""

    async def learners(self, user_ids: Sequence[str], *, window: int) -> LearnerRecords:
        """Raises Unavailable."""
        ...

    async def active(self, *, limit: int) -> list[str]:
        """Ids of those who were active last. Raises Unavailable."""
        ...

    async def ping(self) -> None:
        """Raises Unavailable."""
        ...


class Warehouse(Protocol):
    """For import and jobs: bulk, idempotent. All raise Unavailable."""

    def put_users(self, users: pa.Table) -> None:
        """Upsert rows of USER_SCHEMA."""
        ...

    def put_contents(self, contents: pa.Table) -> None:
        """Upsert rows of CONTENT_SCHEMA."""
        ...

    def put_events(self, events: pa.Table) -> int:
        """Upsert rows of EVENT_SCHEMA on event_id and ts in one transaction; returns how many were new.

        A learner not seen yet gets a row without a cohort, created at their first event.
        """
        ...

    def new_events(self, events: pa.Table) -> NewEvents:
        """The rows whose event_id is not stored yet, with whatever ts."""
        ...

    def read(self, what: str) -> pa.Table:
        """All `users` (USER_SCHEMA plus opted_out: bool) or all `contents` (CONTENT_SCHEMA)."""
        ...
