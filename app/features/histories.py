"""Histories: everything that each of some learners met before a moment, and what they met after it."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from app.features.learners import EventArrays


@dataclass(frozen=True, slots=True)
class Histories:
    """Contents met, flat: learner row r met `content[offset[r] : offset[r + 1]]`."""

    offset: NDArray[np.int64]  # [B + 1]
    content: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offset) - 1

    @classmethod
    def of(cls, pairs: EventArrays, user: NDArray[np.int32]) -> "Histories":
        """All contents of `pairs` that learners `user` `[B]` met."""
        start = np.searchsorted(pairs.user, user, side="left")
        size = np.searchsorted(pairs.user, user, side="right") - start
        offset = np.r_[0, np.cumsum(size)]
        at = np.arange(offset[-1]) - np.repeat(offset[:-1] - start, size)
        return cls(offset, pairs.content[at])

    def take(self, rows: NDArray[np.int32]) -> "Histories":
        """Those of learner rows `rows` `[n]`."""
        size = np.diff(self.offset)[rows]
        offset = np.r_[0, np.cumsum(size)]
        at = np.arange(offset[-1]) - np.repeat(offset[:-1] - self.offset[rows], size)
        return Histories(offset, self.content[at])

    def last(self, limit: int) -> "Histories":
        """At most `limit` of each, the last."""
        size = np.minimum(np.diff(self.offset), limit)
        offset = np.r_[0, np.cumsum(size)]
        at = np.arange(offset[-1]) - np.repeat(offset[:-1] - self.offset[1:] + size, size)
        return Histories(offset, self.content[at])

    def part(self, start: int, stop: int) -> "Histories":
        offset = self.offset[start : stop + 1]
        return Histories(offset - offset[0], self.content[offset[0] : offset[-1]])

    def cells(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Row and content of each."""
        return np.repeat(np.arange(len(self)), np.diff(self.offset)), self.content

    def matrix(self, num_items: int) -> sp.csr_matrix:
        """Ones where met. `[B, num_items]`."""
        ones = np.ones(len(self.content), np.float32)
        return sp.csr_matrix((ones, self.content, self.offset), (len(self), num_items))

    def padded(self) -> NDArray[np.int32]:
        """`[B, longest]`, padding -1."""
        size = np.diff(self.offset)
        result = np.full((len(self), int(size.max(initial=0))), -1, np.int32)
        row, content = self.cells()
        result[row, np.arange(len(row)) - np.repeat(self.offset[:-1], size)] = content
        return result

    def lists(self) -> list[NDArray[np.int32]]:
        return np.split(self.content, self.offset[1:-1])
