"""A validation part carved from training, on which baselines choose their settings; the test part stays unread."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.features.histories import Histories
from app.models.baselines import Past

MAX_LEARNERS = 5_000
MIN_HISTORY = 3
"""Only learners with at least this many contents give some away, where learners do so one by one."""


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


def carve(past: Past, *, temporal: bool = False, seed: int = 0) -> Validation | None:
    """As the test part was made: the last tenth of time if `temporal`, else the last content of each learner.

    Of timeless data a random tenth of each learner's contents, at least one. Of at most MAX_LEARNERS, drawn by `seed`.
    None: nobody is left to judge on.
    """
    rng = np.random.default_rng(seed)
    held = _latest(past) if temporal and past.timed else _last_of_each(past, rng)
    user = past.pairs.user
    rows = np.intersect1d(user[held], user[~held])
    if not len(rows):
        return None
    rows = np.sort(rng.choice(rows, min(MAX_LEARNERS, len(rows)), replace=False)).astype(np.int64)
    gone = held if temporal and past.timed else held & np.isin(user, rows)
    left = Past(past.pairs.take(~gone), past.num_learners, past.num_items, past.timed)
    return Validation(left, rows, Histories.of(past.pairs.take(held), rows.astype(np.int32)).lists())


def _latest(past: Past) -> NDArray[np.bool_]:
    """Pairs of the last tenth of time, of everybody: what is held out shall know nothing of its own future."""
    ts = past.pairs.ts
    return ts >= np.quantile(ts, 0.9) if len(ts) else np.zeros(0, np.bool_)


def _last_of_each(past: Past, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The last pair of each learner who has MIN_HISTORY; without times a random tenth of theirs."""
    user = past.pairs.user
    size = np.bincount(user, minlength=past.num_learners)
    gives = np.where(size >= MIN_HISTORY, 1 if past.timed else np.maximum(size // 10, 1), 0)
    order = np.arange(len(user)) if past.timed else np.lexsort((rng.random(len(user)), user))
    from_last = np.cumsum(size)[user] - 1 - np.arange(len(user))  # 0 for the last of a learner
    held = np.zeros(len(user), np.bool_)
    held[order[from_last < gives[user]]] = True
    return held
