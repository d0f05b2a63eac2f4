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


def test_new_contents_come_behind_the_others_and_strange_tags_say_nothing() -> None:
    catalogue, more = catalogue_of(20), catalogue_of(23).table
    new = more.filter([one not in catalogue.content_ids for one in more["content_id"].to_pylist()])
    tags = [[catalogue.tag_names[3], "never seen", catalogue.tag_names[0]], [], ["never seen"]]
    new = new.set_column(new.schema.get_field_index("tags"), new.schema.field("tags"), [tags])
    longer = catalogue.extended(new)
    assert longer.content_ids == (*catalogue.content_ids, *new["content_id"].to_pylist())
    assert longer.index_of(longer.content_ids).tolist() == list(range(23))
    np.testing.assert_array_equal(longer.arrays.tags[:20], catalogue.arrays.tags)
    assert [row[row >= 0].tolist() for row in longer.arrays.tags[20:]] == [[0, 3], [], []]


def test_items_with_new_contents_are_as_before_where_they_were() -> None:
    catalogue, vocabulary = catalogue_of(20), vocabulary_of(6)
    events = events_of(200, num_users=6, num_items=20)
    items = items_of(catalogue, vocabulary, events.take(first_meetings(events)))
    contents = catalogue.extended(catalogue_of(23).table.slice(20)).arrays
    now = int(contents.created_at.max()) + 1
    longer = items.extended(contents, np.eye(8, dtype=np.float32)[:3], now=now)
    assert (len(longer), len(longer.following), len(longer.together)) == (23, 23, 23)
    np.testing.assert_array_equal(longer.following.offset[:21], items.following.offset)
    np.testing.assert_array_equal(longer.standing.popularity[:20], items.standing.popularity)
    assert not longer.standing.popularity[20:].any()
    assert {20, 21, 22} <= set(longer.standing.newest.tolist())
