"""Merging candidates: what is excluded stays out, nothing comes twice, learners do not mix."""

import dataclasses

import numpy as np

from app.domain.slates import EVIDENCE, SOURCES, Source
from app.features.examples import take_learners
from app.features.items import first_meetings
from app.features.learners import learner_features, windows_at
from app.models.nearest import nearest_items
from app.models.retrieval import merge_candidates, source_weights
from app.ports.vector_index import Neighbours
from tests.unit.features.factory import catalogue_of, events_of, items_of, vocabulary_of

EVENTS = events_of(600, num_users=10, num_items=60)
ITEMS = items_of(catalogue_of(60), vocabulary_of(10), EVENTS.take(first_meetings(EVENTS)))
USERS = np.arange(1, 11, dtype=np.int32)
LEARNERS = learner_features(
    windows_at(EVENTS, USERS, np.full(10, EVENTS.ts.max())), user_index=USERS, cohort_index=np.ones(10, np.int32)
)
QUERIES = np.random.default_rng(5).normal(size=(10, 8)).astype(np.float32)
NEAREST = nearest_items(QUERIES, ITEMS.embeddings, limit=40)
NO_ONE = np.full((10, 0), -1, np.int32)


def test_history_and_exclusions_never_come_back() -> None:
    exclude = NEAREST.index[:, :3]
    merged = merge_candidates(ITEMS, LEARNERS, NEAREST, exclude=exclude, limit=60)
    for row in range(10):
        returned = set(merged.index[row][merged.index[row] >= 0])
        assert not returned & set(exclude[row])
        assert not returned & set(LEARNERS.history[row])


def test_nothing_comes_twice_and_rows_fill_from_the_left_best_first() -> None:
    merged = merge_candidates(ITEMS, LEARNERS, NEAREST, exclude=NO_ONE, limit=30)
    for row, score in zip(merged.index, merged.score, strict=True):
        used = row >= 0
        assert len(set(row[used])) == used.sum()
        assert not np.any(np.diff(used.astype(int)) > 0)
        assert np.all(np.diff(score[used]) <= 0)


def test_a_learner_gets_the_same_alone_as_in_company() -> None:
    together = merge_candidates(ITEMS, LEARNERS, NEAREST, exclude=NO_ONE, limit=30)
    for row in range(10):
        one = slice(row, row + 1)
        alone = merge_candidates(
            ITEMS,
            take_learners(LEARNERS, one),
            Neighbours(NEAREST.index[one], NEAREST.distance[one]),
            exclude=NO_ONE[one],
            limit=30,
        )
        np.testing.assert_array_equal(alone.index, together.index[one])
        np.testing.assert_array_equal(alone.evidence, together.evidence[one])


def test_without_towers_and_history_the_popular_answer() -> None:
    nobody = learner_features(
        windows_at(EVENTS, np.array([0], np.int32), EVENTS.ts[-1:]),
        user_index=np.zeros(1, np.int32),
        cohort_index=np.zeros(1, np.int32),
    )
    nothing = Neighbours(np.full((1, 5), -1, np.int32), np.full((1, 5), np.inf, np.float32))
    merged = merge_candidates(ITEMS, nobody, nothing, exclude=NO_ONE[:1], limit=10)
    sources = {SOURCES[s] for s in merged.source[0][merged.index[0] >= 0]}
    assert sources <= {Source.POPULAR, Source.NEW}
    assert set(merged.index[0, :3]) <= set(ITEMS.standing.popular[0, :25])


def test_a_learner_who_met_everything_gets_none() -> None:
    everything = np.tile(np.arange(60, dtype=np.int32), (10, 1))
    merged = merge_candidates(ITEMS, LEARNERS, NEAREST, exclude=everything, limit=10)
    assert (merged.index == -1).all()
    assert np.isneginf(merged.score).all()


def test_a_source_that_names_what_came_next_outweighs_the_others() -> None:
    content = np.array([row[np.isin(row, LEARNERS.history[i], invert=True)][0] for i, row in enumerate(NEAREST.index)])
    weights = source_weights(ITEMS, LEARNERS, NEAREST, content.astype(np.int32))
    assert weights[SOURCES.index(Source.TWO_TOWER)] == 1.0  # it named every one of them first
    assert ((weights > 0) & (weights <= 1)).all()
    assert (np.delete(weights, SOURCES.index(Source.TWO_TOWER)) < 1).all()


def test_a_source_without_weight_gives_way_to_the_others() -> None:
    only = np.zeros(len(SOURCES), np.float32)
    only[SOURCES.index(Source.TWO_TOWER)] = 1
    merged = merge_candidates(ITEMS.weighing(only), LEARNERS, NEAREST, exclude=NO_ONE, limit=5)
    for row in range(10):
        fresh = NEAREST.index[row][np.isin(NEAREST.index[row], LEARNERS.history[row], invert=True)]
        assert merged.index[row].tolist() == fresh[:5].tolist()


def test_what_the_release_remembers_speaks_beyond_the_recent_history() -> None:
    history = LEARNERS.history.copy()
    history[:, 1:] = -1
    short = dataclasses.replace(LEARNERS, history=history)
    remembered = merge_candidates(ITEMS, short, NEAREST, exclude=NO_ONE, limit=30)
    nothing = dataclasses.replace(ITEMS, memory=ITEMS.memory.take(np.zeros(11, np.int32)))
    forgotten = merge_candidates(nothing, short, NEAREST, exclude=NO_ONE, limit=30)
    ever = EVIDENCE.index("together")
    assert remembered.evidence[:, :, ever].sum() > forgotten.evidence[:, :, ever].sum()
