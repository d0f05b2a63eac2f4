"""Learner features: one implementation, point in time."""

from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.events import EVENT_TYPES
from app.domain.learners import HISTORY, WINDOW, EventWindows, Learners
from app.features.learners import EventArrays, learner_features, windows_at, windows_before, windows_from_rows
from tests.unit.features.factory import START, catalogue_of, events_of

CATALOGUE = catalogue_of(30)


def features(windows: EventWindows) -> Learners:
    nobody = np.zeros(len(windows.now), np.int32)
    return learner_features(windows, user_index=nobody, cohort_index=nobody)


def rows_of(events: EventArrays, user: int, before: int) -> tuple[list[str], list[str], list[int]]:
    own = np.flatnonzero((events.user == user) & (events.ts <= before))
    return (
        [CATALOGUE.content_ids[c] for c in events.content[own]],
        [str(EVENT_TYPES[t]) for t in events.event_type[own]],
        events.ts[own].tolist(),
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), num_events=st.integers(1, 600))
def test_serving_rows_and_training_arrays_give_the_same_features(seed: int, num_events: int) -> None:
    events = events_of(num_events, num_users=5, num_items=30, seed=seed)
    users = np.arange(1, 6, dtype=np.int32)
    now = np.full(5, START + num_events * 30, np.int64)

    training = features(windows_at(events, users, now))
    rows = [rows_of(events, int(u), int(now[0])) for u in users]
    contents, kinds, ts = zip(*rows, strict=True)
    serving = features(windows_from_rows(contents, kinds, ts, catalogue=CATALOGUE, now=now))

    for field in fields(Learners):
        np.testing.assert_array_equal(getattr(training, field.name), getattr(serving, field.name), field.name)


def test_rows_that_two_stores_both_hold_count_once() -> None:
    ids = [CATALOGUE.content_ids[3], CATALOGUE.content_ids[3], CATALOGUE.content_ids[4]]
    now = np.array([START + 10])
    windows = windows_from_rows(
        [ids], [["view", "view", "view"]], [[START, START, START + 5]], catalogue=CATALOGUE, now=now
    )
    assert features(windows).num_events.tolist() == [2]


def test_what_comes_later_changes_nothing() -> None:
    events = events_of(400, num_users=3, num_items=30)
    rows = np.flatnonzero(events.user == 2)[10:11]
    before = features(windows_before(events, rows))
    changed = EventArrays(
        events.user,
        np.where(np.arange(len(events)) >= rows[0], 29, events.content).astype(np.int32),
        events.event_type,
        events.ts,
    )
    after = features(windows_before(changed, rows))
    np.testing.assert_array_equal(before.history, after.history)
    np.testing.assert_array_equal(before.num_events, after.num_events)


def test_history_is_distinct_and_most_recent_first_with_the_strongest_event() -> None:
    complete, view = EVENT_TYPES.index("complete"), EVENT_TYPES.index("view")
    events = EventArrays(
        user=np.ones(4, np.int32),
        content=np.array([7, 8, 7, 9], np.int32),
        event_type=np.array([complete, view, view, view], np.int8),
        ts=START + np.array([0, 60, 120, 180]),
    )
    learners = features(windows_at(events, np.array([1], np.int32), np.array([START + 200])))
    assert learners.history[0, :4].tolist() == [9, 7, 8, -1]
    assert learners.history_strength[0, :4].tolist() == [0.5, 1.0, 0.5, 0.0]
    assert learners.history_age_s[0, :3].tolist() == [20, 80, 140]
    assert learners.completion_rate[0] == np.float32(1 / 3)


def test_a_pause_of_more_than_half_an_hour_starts_a_session() -> None:
    events = EventArrays(
        user=np.ones(3, np.int32),
        content=np.array([1, 2, 3], np.int32),
        event_type=np.zeros(3, np.int8),
        ts=START + np.array([0, 3600, 3700]),
    )
    user = np.array([1, 1], np.int32)
    learners = features(windows_at(events, user, START + np.array([3800, 7200])))
    assert learners.session_position.tolist() == [2, 0]


def test_a_learner_without_events_has_an_empty_history() -> None:
    events = events_of(50, num_users=2, num_items=30)
    learners = features(windows_at(events, np.array([9], np.int32), np.array([START])))
    assert (learners.history == -1).all()
    assert learners.history.shape == (1, HISTORY)
    assert learners.num_events.tolist() == [0]


def test_only_the_last_window_counts() -> None:
    events = events_of(3 * WINDOW, num_users=1, num_items=30)
    learners = features(windows_at(events, np.array([1], np.int32), events.ts[-1:]))
    assert learners.num_events.tolist() == [WINDOW]
