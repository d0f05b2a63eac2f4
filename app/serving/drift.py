"""What a ranker replica sees of its features: a few rows now and then, counted where no request waits."""

import time
from collections import deque
from collections.abc import Callable
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from app.domain.slates import Candidates
from app.features.drift import FeatureBins
from app.features.ranking import PLAIN_FEATURES

EVERY_S = 0.5
ROWS = 512
"""In that time, of the first batches, evenly from all of their learners; copies of 50 kB."""

HALF_LIFE_S = 3600.0
"""What was seen an hour ago counts half."""

MIN_ROWS = 1_000
"""Of fewer rows no index is told: chance alone would move it."""


class FeatureSampler:
    """`offer` on the thread that computes, `counts` on another."""

    def __init__(self, bins: FeatureBins | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bins, self._clock = bins, clock
        self._until, self._left = float("-inf"), 0  # rows that may be taken until then
        self._waiting: deque[tuple[NDArray[np.float32], NDArray[np.bool_]]] = deque(maxlen=256)
        self._counts: NDArray[np.float64] | None = None
        self._counted_at = clock()
        self._counting = Lock()

    def offer(self, matrix: NDArray[np.float32], candidates: Candidates) -> None:
        """`matrix` as `ranking_features` makes it; mostly it is not wanted."""
        now = self._clock()
        if now >= self._until:
            self._until, self._left = now + EVERY_S, ROWS
        if self._left <= 0 or self._bins is None:
            return
        step = -(-len(matrix) // self._left)
        there = candidates.index.ravel()[::step] >= 0
        self._left -= len(there)
        self._waiting.append((matrix[::step, -len(PLAIN_FEATURES) :].copy(), there))

    def counts(self) -> NDArray[np.float64] | None:
        """Rows seen lately, by feature and bin `[F, NUM_BINS]`; None where nothing was."""
        if self._bins is None:
            return None
        with self._counting:
            now = self._clock()
            if self._counts is not None:
                self._counts = self._counts * 0.5 ** ((now - self._counted_at) / HALF_LIFE_S)
            self._counted_at = now
            while self._waiting:
                rows, there = self._waiting.popleft()
                seen = self._bins.counts(rows[there])
                self._counts = seen if self._counts is None else self._counts + seen
            return self._counts
