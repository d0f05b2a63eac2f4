"""Ranking features: names, and independence of the batch."""

import numpy as np

from app.domain.slates import EVIDENCE, Candidates
from app.features.examples import take_learners
from app.features.items import first_meetings
from app.features.learners import learner_features, windows_at
from app.features.ranking import OnAxes, feature_names, principal_axes, ranking_features
from tests.unit.features.factory import catalogue_of, events_of, items_of, vocabulary_of

EVENTS = events_of(900, num_users=12, num_items=40)
PAIRS = EVENTS.take(first_meetings(EVENTS))
ITEMS = items_of(catalogue_of(40), vocabulary_of(12), PAIRS)
ON_AXES = OnAxes.of(principal_axes(ITEMS.embeddings, limit=4), items=ITEMS)


def batch() -> tuple:
    users = np.arange(1, 13, dtype=np.int32)
    windows = windows_at(EVENTS, users, np.full(12, EVENTS.ts.max() + 60))
    learners = learner_features(windows, user_index=users, cohort_index=np.ones(12, np.int32))
    rng = np.random.default_rng(3)
    index = np.stack([rng.permutation(40)[:10] for _ in range(12)]).astype(np.int32)
    evidence = rng.random((12, 10, len(EVIDENCE))).astype(np.float32)
    candidates = Candidates(index, rng.random((12, 10)).astype(np.float32), np.zeros((12, 10), np.int8), evidence)
    return learners, rng.normal(size=(12, 8)).astype(np.float32), candidates


def test_every_column_has_a_name() -> None:
    learners, embeddings, candidates = batch()
    matrix = ranking_features(learners, embeddings, candidates, items=ITEMS, on_axes=ON_AXES)
    assert matrix.shape == (120, len(feature_names(4)))
    assert np.isfinite(matrix).all()


def test_features_of_a_learner_do_not_depend_on_the_company() -> None:
    learners, embeddings, candidates = batch()
    together = ranking_features(learners, embeddings, candidates, items=ITEMS, on_axes=ON_AXES).reshape(12, 10, -1)
    for row in range(12):
        one = slice(row, row + 1)
        alone = Candidates(
            candidates.index[one], candidates.score[one], candidates.source[one], candidates.evidence[one]
        )
        matrix = ranking_features(take_learners(learners, one), embeddings[one], alone, items=ITEMS, on_axes=ON_AXES)
        np.testing.assert_array_equal(matrix, together[row])


def test_affinity_is_the_dot_product() -> None:
    learners, embeddings, candidates = batch()
    matrix = ranking_features(learners, embeddings, candidates, items=ITEMS, on_axes=ON_AXES).reshape(12, 10, -1)
    column = feature_names(4).index("user_item_affinity")
    expected = (embeddings[:, None, :] * ITEMS.embeddings[candidates.index]).sum(-1)
    np.testing.assert_allclose(matrix[:, :, column], expected, rtol=1e-5, atol=1e-6)


def test_axes_keep_what_the_contents_differ_in_and_all_of_them_keep_every_dot_product() -> None:
    rng = np.random.default_rng(1)
    flat = (rng.normal(size=(50, 3)) @ rng.normal(size=(3, 8))).astype(np.float32)  # three directions of eight
    few, whole = principal_axes(flat, limit=3), principal_axes(flat, limit=99)
    assert few.shape == (8, 3)
    assert whole.shape == (8, 8)
    for axes in (few, whole):
        np.testing.assert_allclose((flat @ axes) @ (flat @ axes).T, flat @ flat.T, rtol=1e-4, atol=1e-4)
