"""A validation part carved from training, on which baselines choose their settings; the test part stays unread."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.features.histories import Histories
from app.models.baselines import Past

MAX_LEARNERS = 5_000
MIN_HISTORY = 3
"""Only learners with at least this many contents give one away."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What is left of training, and what some learners gave away."""

    past: Past
    rows: NDArray[np.int64]  # [V] the learners
    relevant: list[NDArray[np.int32]]  # [V] what they gave away

    @property
    def known(self) -> Histories:
        """What is left of the learners' own past. `[V]`."""
        return Histories.of(self.past.pairs, self.rows.astype(np.int32))


def carve(past: Past, *, seed: int = 0) -> Validation | None:
    """The last content of each of at most MAX_LEARNERS; of timeless data a random tenth, at least one. None: nobody."""
    rng = np.random.default_rng(seed)
    user = past.pairs.user
    size = np.bincount(user, minlength=past.num_learners)
    able = np.flatnonzero(size >= MIN_HISTORY)
    if not len(able):
        return None
    rows = np.sort(rng.choice(able, min(MAX_LEARNERS, len(able)), replace=False))
    gives = np.zeros(past.num_learners, np.int64)
    gives[rows] = 1 if past.timed else np.maximum(size[rows] // 10, 1)
    order = np.arange(len(user)) if past.timed else np.lexsort((rng.random(len(user)), user))
    from_last = np.cumsum(size)[user] - 1 - np.arange(len(user))  # 0 for the last of a learner
    held = np.zeros(len(user), np.bool_)
    held[order[from_last < gives[user]]] = True
    left = Past(past.pairs.take(~held), past.num_learners, past.num_items, past.timed)
    return Validation(left, rows, Histories.of(past.pairs.take(held), rows.astype(np.int32)).lists())
