"""Catalogue and vocabulary: ids to rows and back, and a round trip through files."""

from pathlib import Path

import numpy as np
import pytest

from app.domain.ids import canonical_id
from app.errors import NotFound
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.item_state import Items
from app.features.items import first_meetings
from tests.unit.features.factory import catalogue_of, events_of, items_of, vocabulary_of


def test_ids_find_their_rows_and_strangers_none() -> None:
    catalogue = catalogue_of(50)
    rows = catalogue.index_of([*catalogue.content_ids, canonical_id("a stranger")])
    assert rows.tolist() == [*range(50), -1]


def test_unknown_learners_have_index_zero() -> None:
    vocabulary = vocabulary_of(4)
    assert vocabulary.index_of([vocabulary.user_ids[2], canonical_id("nobody")]).tolist() == [3, 0]
    assert vocabulary.cohort_index_of(["cohort 1", None, "elsewhere"]).tolist() == [2, 0, 0]


def test_an_empty_catalogue_knows_nothing() -> None:
    assert catalogue_of(0).index_of([canonical_id("x")]).tolist() == [-1]


def test_files_hold_the_same(tmp_path: Path) -> None:
    catalogue, vocabulary = catalogue_of(20), vocabulary_of(6)
    events = events_of(200, num_users=6, num_items=20)
    items = items_of(catalogue, vocabulary, events.take(first_meetings(events)))
    catalogue.save(tmp_path / "catalogue")
    vocabulary.save(tmp_path / "learners")
    items.save(tmp_path / "items")

    again, learners = Catalogue.load(tmp_path / "catalogue"), LearnerVocabulary.load(tmp_path / "learners")
    loaded = Items.load(tmp_path / "items")

    assert again.content_ids == catalogue.content_ids
    assert again.titles == catalogue.titles
    assert learners.user_ids == vocabulary.user_ids
    np.testing.assert_array_equal(learners.cohort_of_user, vocabulary.cohort_of_user)
    np.testing.assert_array_equal(loaded.embeddings, items.embeddings)
    np.testing.assert_array_equal(loaded.following.index, items.following.index)
    np.testing.assert_array_equal(loaded.memory.content, items.memory.content)
    np.testing.assert_array_equal(loaded.standing.popular, items.standing.popular)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"content_type\.npy is missing"):
        Items.load(tmp_path)
