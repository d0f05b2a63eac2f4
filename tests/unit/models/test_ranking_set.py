"""The ranker's training set: what counts as wanted, and what retrieval really returned."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from app.features.examples import Examples, concat_examples, make_examples
from app.features.items import first_meetings
from app.features.ranking import DIRECTIONS, PLAIN_FEATURES, feature_names
from app.models.configs import RankerConfig
from app.models.ranker import Ranker
from app.models.train_ranker import fit_ranker, ranking_set, shuffled_auc
from tests.unit.features.factory import catalogue_of, events_of, items_of, vocabulary_of

EVENTS = events_of(1500, num_users=40, num_items=60)
VOCABULARY = vocabulary_of(40)
ITEMS = items_of(catalogue_of(60), VOCABULARY, EVENTS.take(first_meetings(EVENTS)))
EXAMPLES: Examples = concat_examples(list(make_examples(EVENTS, cohort_of_user=VOCABULARY.cohort_of_user)))
EMBEDDINGS = np.random.default_rng(2).normal(size=(len(EXAMPLES), 8)).astype(np.float32)
CONFIG = RankerConfig(num_candidates=20, num_negatives=9, num_trees=5, num_folds=2, max_queries=300)


def test_every_list_holds_something_wanted_and_is_short() -> None:
    data = ranking_set(EXAMPLES, EMBEDDINGS, items=ITEMS, config=CONFIG)
    lists = np.unique(data.query)
    assert len(lists) <= CONFIG.max_queries
    for number in lists:
        own = data.label[data.query == number]
        assert own.max() > 0
        assert len(own) <= CONFIG.num_negatives + 1


def test_rows_of_a_list_follow_each_other_and_belong_to_one_learner() -> None:
    data = ranking_set(EXAMPLES, EMBEDDINGS, items=ITEMS, config=CONFIG)
    assert np.all(np.diff(data.query) >= 0)
    for number in np.unique(data.query):
        assert len(np.unique(data.learner[data.query == number])) == 1


def test_what_was_met_before_is_never_wanted() -> None:
    """Only the last example of each learner is asked for: nothing comes later, so at most one is wanted."""
    last = np.flatnonzero(np.r_[EXAMPLES.learners.user_index[1:] != EXAMPLES.learners.user_index[:-1], True])
    data = ranking_set(EXAMPLES.take(last), EMBEDDINGS[last], items=ITEMS, config=CONFIG)
    for number in np.unique(data.query):
        assert (data.label[data.query == number] > 0).sum() == 1


def test_scores_are_chances_and_both_objectives_train() -> None:
    data = ranking_set(EXAMPLES, EMBEDDINGS, items=ITEMS, config=CONFIG)
    for objective in ("binary:logistic", "rank:ndcg"):
        fitted = fit_ranker(data, config=CONFIG.model_copy(update={"objective": objective}))
        scores = fitted.ranker.score_rows(data.matrix)
        assert scores.min() >= 0
        assert scores.max() <= 1
        assert abs(sum(fitted.importance.values()) - 1) < 1e-6


def test_no_learner_asks_for_more_lists_than_allowed() -> None:
    few = CONFIG.model_copy(update={"max_queries_of_learner": 2})
    data = ranking_set(EXAMPLES, EMBEDDINGS, items=ITEMS, config=few)
    lists, first = np.unique(data.query, return_index=True)
    assert np.bincount(data.learner[first]).max() <= 2
    assert len(lists) > 40


def test_labels_in_random_order_teach_nothing() -> None:
    data = ranking_set(EXAMPLES, EMBEDDINGS, items=ITEMS, config=CONFIG)
    assert abs(shuffled_auc(data, config=CONFIG) - 0.5) < 0.05


def test_a_feature_that_speaks_for_a_candidate_never_speaks_against_it() -> None:
    data = ranking_set(EXAMPLES, EMBEDDINGS, items=ITEMS, config=CONFIG)
    ranker = fit_ranker(data, config=CONFIG.model_copy(update={"num_trees": 40})).ranker
    names = feature_names(data.num_axes)
    for name, direction in DIRECTIONS.items():
        more = data.matrix.copy()
        more[:, names.index(name)] += direction
        assert (ranker.score_rows(more) >= ranker.score_rows(data.matrix) - 1e-6).all(), name


def test_a_ranker_remembers_what_retrieval_returned_and_training_takes_a_sample_of(tmp_path: Path) -> None:
    data = ranking_set(EXAMPLES, EMBEDDINGS, items=ITEMS, config=CONFIG)
    fit_ranker(data, config=CONFIG).ranker.save(tmp_path)
    bins = Ranker.load(tmp_path).bins
    assert bins is not None
    plain = data.matrix[:, -len(PLAIN_FEATURES) :]
    index = dict(zip(PLAIN_FEATURES, bins.index(bins.counts(plain)), strict=True))
    assert index["time_of_day_hour"] < 0.25, "a sixteenth of the lists are of much the same hours"
    np.testing.assert_allclose(bins.share.sum(1), 1, atol=1e-5)


def test_a_ranker_from_before_has_none(tmp_path: Path) -> None:
    data = ranking_set(EXAMPLES, EMBEDDINGS, items=ITEMS, config=CONFIG)
    fit_ranker(replace(data, bins=None), config=CONFIG).ranker.save(tmp_path)
    assert Ranker.load(tmp_path).bins is None
