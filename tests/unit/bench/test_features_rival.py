"""The benchmark's rival makes the same features, or the comparison says nothing."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.adapters.object_store import ObjectStore
from app.features.aggregates import item_counts
from app.features.aggregates import learner_aggregates as ours_of_learners
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.dataset import index_events
from app.features.examples import interaction_examples
from app.features.learners import EventArrays
from cluster.bench.events import users_and_contents, write_events
from cluster.bench.features_rival import build_with_polars
from jobs.event_files import EVENTS

NUM_EVENTS = 3_000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table, Catalogue, LearnerVocabulary]:
    """The rival's folder, and the same events in index space by our code."""
    folder = tmp_path_factory.mktemp("rival")
    users, contents = users_and_contents(NUM_EVENTS)
    contents = contents.slice(0, 200)  # learners meet contents again
    store = ObjectStore(folder.as_uri())
    write_events(store, NUM_EVENTS, users, contents)
    files = sorted(str(path) for path in (folder / EVENTS).rglob("*.parquet"))
    build_with_polars(files, users=pl.from_arrow(users), contents=pl.from_arrow(contents), out=folder / "out")  # pyright: ignore[reportArgumentType]
    catalogue, vocabulary = Catalogue.build(contents), LearnerVocabulary.build(users)
    events = pa.concat_tables([pq.read_table(file) for file in files])
    return folder / "out", index_events(events, catalogue=catalogue, vocabulary=vocabulary), catalogue, vocabulary


def test_examples_are_the_same(made: tuple[Path, pa.Table, Catalogue, LearnerVocabulary]) -> None:
    out, events, _, vocabulary = made
    ours = pl.from_arrow(interaction_examples(events, cohort_of_user=vocabulary.cohort_of_user))
    theirs = pl.concat([pl.read_parquet(path) for path in sorted(out.glob("examples-*"))])
    assert isinstance(ours, pl.DataFrame)
    key = ["user_index", "content"]
    ours, theirs = ours.sort(key), theirs.sort(key)
    assert len(ours) == len(theirs) > 1_000
    for name in ("user_index", "content", "now", "strength", "num_events", "session_position"):
        np.testing.assert_array_equal(theirs[name].to_numpy(), ours[name].to_numpy(), err_msg=name)
    np.testing.assert_allclose(theirs["completion_rate"].to_numpy(), ours["completion_rate"].to_numpy(), rtol=1e-6)
    for name, fill in (("history", -1), ("history_age_s", 0), ("history_strength", 0)):
        kept = [
            row[: len(their)]
            for row, their in zip(ours[name].to_list(), theirs["history"].to_list(), strict=True)
            if their
        ]
        assert [row for row in theirs[name].to_list() if row] == kept, name
        left = [
            row[len(their or []) :]
            for row, their in zip(ours[name].to_list(), theirs["history"].to_list(), strict=True)
        ]
        assert all(value == fill for row in left for value in row), name


def test_aggregates_are_the_same(made: tuple[Path, pa.Table, Catalogue, LearnerVocabulary]) -> None:
    out, events, catalogue, _ = made
    arrays = EventArrays.sort(*(events[name].to_numpy() for name in ("user", "content", "event_type", "ts")))
    ours = pl.from_arrow(ours_of_learners(arrays, contents=catalogue.arrays))
    theirs = pl.read_parquet(out / "learner_aggregates.parquet").sort("user")
    assert isinstance(ours, pl.DataFrame)
    for name in ("user", "total_views", "num_contents", "last_seen"):
        assert ours[name].to_list() == theirs[name].to_list(), name
    last = [[content for content in row if content >= 0] for row in ours["last_items"].to_list()]
    assert last == theirs["last_items"].to_list()
    counts = pl.from_arrow(item_counts(arrays, now=int(arrays.ts.max()) + 1, num_items=len(catalogue)))
    items = pl.read_parquet(out / "items.parquet").sort("content")
    assert isinstance(counts, pl.DataFrame)
    met = counts.filter(pl.col("learners") > 0)
    for name in ("content", "views", "completes", "learners", "learners_30d", "learners_7d"):
        assert met[name].to_list() == items[name].to_list(), name
