"""A batch of learners as arrays: what is known of each at the moment of asking."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 128
"""Most recent raw events of a learner that features look at, in training and in serving alike."""

HISTORY = 100
"""Distinct contents, most recent first, that remain of the window."""


@dataclass(frozen=True, slots=True)
class EventWindows:
    """The last WINDOW events before `now` of each learner, most recent first; unused cells hold content -1."""

    content: NDArray[np.int32]  # [B, WINDOW] index into the release's catalogue; -1: none or unknown to it
    event_type: NDArray[np.int8]  # [B, WINDOW] code of EVENT_TYPES
    ts: NDArray[np.int64]  # [B, WINDOW] Unix seconds
    now: NDArray[np.int64]  # [B] Unix seconds


@dataclass(frozen=True, slots=True)
class Learners:
    """The features of a batch of learners, made from EventWindows by `app.features.learners` only."""

    user_index: NDArray[np.int32]  # [B] 1.. in the release's vocabulary, 0 unknown
    cohort_index: NDArray[np.int32]  # [B] 1.., 0 unknown
    history: NDArray[np.int32]  # [B, HISTORY] distinct contents, most recent first, -1 padding
    history_age_s: NDArray[np.float32]  # [B, HISTORY] seconds from the event to now, 0 in padding
    history_strength: NDArray[np.float32]  # [B, HISTORY] strongest event on the content, 0 in padding
    num_events: NDArray[np.float32]  # [B] events in the window
    completion_rate: NDArray[np.float32]  # [B] share of the contents in the history that were completed
    session_position: NDArray[np.float32]  # [B] events already in the current session
    now: NDArray[np.int64]  # [B] Unix seconds

    def __len__(self) -> int:
        return len(self.user_index)
