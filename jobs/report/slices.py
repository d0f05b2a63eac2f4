"""Slices: learners by how much is known of them, contents by how many learners met them in training."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from jobs.report.part import Part

HISTORY_FROM = (1, 5, 10, 20, 50, 100, 200)
MIN_SLICE = 20
"""The longest histories are put together until this many learners have one."""

POPULARITY = ("head", "middle", "tail", "unseen")


@dataclass(frozen=True, slots=True)
class Slices:
    """Membership of the judged learners and of all contents."""

    history_labels: tuple[str, ...]
    history: NDArray[np.int64]  # [B] slice of each learner
    popularity_labels: tuple[str, ...]  # one for each of POPULARITY
    popularity: NDArray[np.int64]  # [I] slice of each content
    pairs: NDArray[np.int64]  # [B, len(POPULARITY)] test pairs of each learner in each slice


def slices_of(part: Part) -> Slices:
    """Only slices of learners that somebody is in; all four of contents."""
    size = np.diff(part.known.offset)
    starts = [first for first in HISTORY_FROM if first == 1 or (size >= first).sum() >= MIN_SLICE]
    number = np.searchsorted(starts, size, side="right") - 1
    present = np.unique(number)
    groups = popularity_groups(part.past.popularity)
    row, content = part.wanted.cells()
    pairs = np.zeros((len(part.judged), len(POPULARITY)), np.int64)
    np.add.at(pairs, (row, groups[content]), 1)
    return Slices(
        history_labels=tuple(_history_label(starts, n) for n in present),
        history=np.searchsorted(present, number),
        popularity_labels=tuple(_popularity_label(n, groups, part.past.popularity) for n in range(len(POPULARITY))),
        popularity=groups,
        pairs=pairs,
    )


def popularity_groups(popularity: NDArray[np.int64]) -> NDArray[np.int64]:
    """Head, middle and tail: contents that make up a third of the training pairs each, the most popular first. `[I]`.

    The fourth: contents that nobody met in training.
    """
    order = np.argsort(-popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    groups = np.empty(len(popularity), np.int64)
    groups[order] = np.minimum(before * 3 // max(popularity.sum(), 1), 2)
    groups[popularity == 0] = 3
    return groups


def _history_label(starts: list[int], number: int) -> str:
    return f"{starts[number]}-{starts[number + 1] - 1}" if number + 1 < len(starts) else f"{starts[number]} or more"


def _popularity_label(number: int, groups: NDArray[np.int64], popularity: NDArray[np.int64]) -> str:
    inside = popularity[groups == number]
    name = POPULARITY[number]
    return f"{name} ({len(inside):,} contents)" if len(inside) else f"{name} (none)"
