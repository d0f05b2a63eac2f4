"""A generated world is the same every time, and has the structure that a recommender is to find."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from app.domain.checks import content_faults, event_faults, user_faults
from app.domain.contents import CONTENT_SCHEMA, USER_SCHEMA
from app.domain.events import EVENT_SCHEMA
from jobs.world.config import WorldConfig
from jobs.world.export import write_split
from jobs.world.world import World, make_world

END = datetime(2026, 11, 1, tzinfo=UTC)
CONFIG = WorldConfig(num_learners=500, num_contents=500, end=END)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(CONFIG, seed=7)


@pytest.fixture(scope="module")
def steps(world: World) -> pl.DataFrame:
    """Views in order, with the number of the learner, the content and the course."""
    frame = _frame(world.events).filter(pl.col("event_type") == "view")
    user = {one: i for i, one in enumerate(world.users.column("user_id").to_pylist())}
    content = {one: i for i, one in enumerate(world.contents.column("content_id").to_pylist())}
    return frame.select(
        pl.col("user_id").replace_strict(user, return_dtype=pl.Int64).alias("user"),
        pl.col("content_id").replace_strict(content, return_dtype=pl.Int64).alias("content"),
        "ts",
    ).with_columns(course=pl.col("content") // 10)


def test_the_same_seed_gives_the_same_tables_and_another_one_does_not(world: World) -> None:
    again, other = make_world(CONFIG, seed=7), make_world(CONFIG, seed=8)

    assert again.users.equals(world.users)
    assert again.contents.equals(world.contents)
    assert again.events.equals(world.events)
    assert not other.events.equals(world.events)


def test_all_rows_have_the_schemas_of_the_domain_and_pass_its_checks(world: World) -> None:
    assert world.users.schema.equals(USER_SCHEMA)
    assert world.contents.schema.equals(CONTENT_SCHEMA)
    assert world.events.schema.equals(EVENT_SCHEMA)
    assert event_faults(world.events, now=END).null_count() == len(world.events)
    assert content_faults(world.contents, now=END).null_count() == len(world.contents)
    assert user_faults(world.users, now=END).null_count() == len(world.users)
    assert _frame(world.events)["event_id"].is_unique().all()


def test_events_are_as_many_as_asked_and_end_shortly_before_the_end(world: World) -> None:
    ts = _frame(world.events)["ts"]

    assert 60 <= len(world.events) / 500 <= 100
    assert ts.is_sorted()
    assert END - timedelta(days=1) < ts[-1] < END
    assert ts[0] >= END - timedelta(days=CONFIG.num_days)


def test_nobody_opens_a_content_before_it_is_out_or_before_they_joined(world: World) -> None:
    events = _frame(world.events).join(_frame(world.contents).select("content_id", "created_at"), on="content_id")
    joined = events.join(_frame(world.users).select("user_id", joined="created_at"), on="user_id")

    assert (events["ts"] >= events["created_at"]).all()
    assert (joined["ts"] >= joined["joined"]).all()


def test_some_contents_come_out_while_the_world_runs(world: World) -> None:
    created = _frame(world.contents)["created_at"]
    share = (created > END - timedelta(days=CONFIG.num_days)).mean()

    assert isinstance(share, float)
    assert 0.15 < share < 0.6


def test_the_next_part_of_the_course_is_what_most_often_follows(steps: pl.DataFrame) -> None:
    following = steps.sort("user", "ts").with_columns(next=pl.col("content").shift(-1).over("user")).drop_nulls()
    next_part = (following["next"] - following["content"]).is_in([1]).mean()

    assert isinstance(next_part, float)
    assert next_part > 0.4


def test_learners_study_what_they_are_interested_in(world: World, steps: pl.DataFrame) -> None:
    topic = world.truth.courses.topic[steps["course"].to_numpy()]
    interest = world.truth.people.interest[steps["user"].to_numpy(), topic]

    assert interest.mean() > 5 / len(world.truth.courses.topics)


def test_the_true_affinity_ranks_what_learners_open_above_chance(world: World, steps: pl.DataFrame) -> None:
    middle = END - timedelta(days=30)
    late = steps.filter(pl.col("ts") >= middle).unique(["user", "content"], maintain_order=True)
    learners = late["user"].unique(maintain_order=True).to_numpy()
    affinity = world.truth.affinity(learners, at_s=int(END.timestamp()))
    rank = (-affinity).argsort(axis=1).argsort(axis=1) / affinity.shape[1]
    row = {one: i for i, one in enumerate(learners.tolist())}
    opened = [rank[row[user], content] for user, content in zip(late["user"], late["content"], strict=True)]

    assert np.mean(opened) < 0.25  # 0.5 is chance


def test_skill_only_grows_and_harder_contents_are_completed_less(world: World) -> None:
    events = (
        _frame(world.events)
        .group_by("content_id")
        .agg(share=(pl.col("event_type") == "complete").sum() / (pl.col("event_type") == "view").sum(), n=pl.len())
    )
    table = _frame(world.contents).join(events, on="content_id").filter(pl.col("n") > 30)
    too_hard, fitting = (table.filter(pl.col("difficulty") == d)["share"].mean() for d in (5, 2))

    assert (world.truth.skill >= world.truth.people.skill).all()
    assert isinstance(too_hard, float)
    assert isinstance(fitting, float)
    assert too_hard < fitting


def test_a_few_contents_have_much_of_the_attention_and_it_drifts(world: World, steps: pl.DataFrame) -> None:
    counts = steps.group_by("content").len()["len"].sort(descending=True)
    weekly = world.truth.popularity.weekly

    assert int(counts.head(50).sum()) > 0.22 * int(counts.sum())
    assert np.abs(weekly[-1] - weekly[0]).mean() > 0.3


def test_titles_and_tags_say_what_a_content_is(world: World) -> None:
    table = _frame(world.contents)

    assert "Linear Algebra 3: Eigenvalues" in table["title"].to_list()
    assert table["title"].is_unique().all()
    assert table.filter(pl.col("title").str.starts_with("Linear Algebra"))["tags"].list.contains("linear-algebra").all()
    assert set(table.filter(pl.col("type") == "quiz")["title"].str.split(": ").list.last()) == {
        "Midway Quiz",
        "Final Quiz",
    }


def test_more_learners_than_a_block_and_contents_than_topics_work() -> None:
    big = make_world(
        WorldConfig(num_learners=4200, num_contents=1037, num_days=14, end=END, events_per_learner=4), seed=1
    )

    assert len(big.users) == 4200
    assert len(big.contents) == 1037
    assert _frame(big.contents)["title"].n_unique() == 1037


def test_the_split_is_temporal_and_asks_for_learners_known_before(world: World, tmp_path: Path) -> None:
    num_train, num_test = write_split(world, tmp_path)

    train, test, users = (pl.read_csv(tmp_path / f"{name}.csv") for name in ("train", "test", "users"))
    assert (len(train), len(test)) == (num_train, num_test)
    assert train["timestamp"].to_numpy().max() < test["timestamp"].to_numpy().min()
    assert set(users["user_id"]) == set(test["user_id"]) <= set(train["user_id"])
    assert not train.vstack(test).select("user_id", "item_id").is_duplicated().any()
    assert len(pl.read_csv(tmp_path / "items.csv")) == 500


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
