"""Offline evaluation: from a folder of a split to ranked lists, whatever the data lack."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.errors import InvalidInput
from app.models.configs import RankerConfig, TowersConfig
from jobs.offline.evaluate import DEPTH, Progress, Spec, evaluate
from jobs.offline.split import read_split
from jobs.world.config import WorldConfig
from jobs.world.export import write_split
from jobs.world.world import make_world

SPEC = Spec(
    towers=TowersConfig(embedding_dim=16, hidden_dim=32, id_dim=16, num_epochs=2),
    ranker=RankerConfig(num_trees=30, num_folds=2, max_queries=500),
)
NUM_ITEMS = 200


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("split")
    write_split(make_world(WorldConfig(num_learners=120, num_contents=NUM_ITEMS), 3), folder)
    return folder


def ranked(folder: Path, out: Path, *, items: Path | None) -> pl.DataFrame:
    steps: list[str] = []
    metrics = evaluate(folder, items=items, out=out, spec=SPEC, progress=Progress(steps.append))
    assert steps[0] == "reading"
    assert steps[-1] == "ranking"
    beside = json.loads(out.with_suffix(".json").read_text())
    assert beside["metrics"] == metrics
    assert abs(sum(beside["importance"].values()) - 1) < 1e-6
    return pl.read_parquet(out)


def ndcg(lists: pl.DataFrame, folder: Path) -> float:
    """NDCG@10, mean over the learners of the test part."""
    test = pl.read_csv(folder / "test.csv", infer_schema=False).select("user_id", "item_id")
    gain = 1 / np.log2(np.arange(2, 12))
    hits = lists.filter(pl.col("rank") <= 10).join(test, on=["user_id", "item_id"])
    found = dict(hits.group_by("user_id").agg((1 / (pl.col("rank") + 1).log(2)).sum()).rows())
    sizes = dict(test.group_by("user_id").len().rows())
    return float(np.mean([found.get(user, 0.0) / gain[: min(10, size)].sum() for user, size in sizes.items()]))


def popular(folder: Path) -> pl.DataFrame:
    """Every learner gets the most met contents that they have not met."""
    train = pl.read_csv(folder / "train.csv", infer_schema=False).select("user_id", "item_id")
    users = pl.read_csv(folder / "users.csv", infer_schema=False).select("user_id")
    counts = train.group_by("item_id").len().sort("len", "item_id", descending=True).select("item_id")
    rest = users.join(counts, how="cross").join(train, on=["user_id", "item_id"], how="anti", maintain_order="left")
    return rest.with_columns(rank=pl.int_range(1, pl.len() + 1).over("user_id"))


def check(lists: pl.DataFrame, folder: Path) -> None:
    train = pl.read_csv(folder / "train.csv", infer_schema=False)
    users = pl.read_csv(folder / "users.csv", infer_schema=False)["user_id"].unique()
    assert set(lists["user_id"]) == set(users)
    assert not len(lists.join(train, on=["user_id", "item_id"])), "what was met comes back"
    assert not lists.select("user_id", "item_id").is_duplicated().any()
    for column in ("rank", "candidate_rank"):
        shape = lists.group_by("user_id").agg(pl.col(column).min().alias("first"), pl.col(column).max().alias("last"))
        assert (shape["first"] == 1).all()
        assert (shape["last"] <= DEPTH).all()
    assert lists["score"].is_between(0, 1).all()
    assert lists["source"].n_unique() > 1


def test_lists_are_whole_exclude_what_was_met_and_beat_popularity(split: Path, tmp_path: Path) -> None:
    lists = ranked(split, tmp_path / "lists.parquet", items=split / "items.csv")
    check(lists, split)
    assert ndcg(lists, split) > 1.5 * ndcg(popular(split), split)


def test_data_without_times_and_without_items_are_judged_by_what_goes_together(split: Path, tmp_path: Path) -> None:
    folder = tmp_path / "timeless"
    folder.mkdir()
    pairs = pl.concat([pl.read_csv(split / f"{n}.csv", infer_schema=False) for n in ("train", "test")])
    held = np.random.default_rng(0).random(len(pairs)) < 0.2
    for name, rows in (("train", ~held), ("test", held)):
        pairs.filter(pl.Series(rows)).select("user_id", "item_id").write_csv(folder / f"{name}.csv")
    pairs.filter(pl.Series(held)).select("user_id").unique(maintain_order=True).write_csv(folder / "users.csv")

    lists = ranked(folder, tmp_path / "lists.parquet", items=None)

    check(lists, folder)
    assert ndcg(lists, folder) > 1.5 * ndcg(popular(folder), folder)


def test_events_of_one_moment_get_an_order_that_is_always_the_same(split: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moment"
    folder.mkdir()
    train = pl.read_csv(split / "train.csv", infer_schema=False)
    train.with_columns(timestamp=pl.lit("1600000000")).write_csv(folder / "train.csv")
    train.select("user_id").unique(maintain_order=True).write_csv(folder / "users.csv")
    first, second = (read_split(folder, None).dataset.events for _ in range(2))
    np.testing.assert_array_equal(first.ts, second.ts)
    assert len(np.unique(first.ts)) > len(train) / 2
    assert first.ts.min() >= 1_600_000_000


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"train\.csv"):
        read_split(tmp_path, None)
    (tmp_path / "train.csv").write_text("user_id,when\na,1\n")
    with pytest.raises(InvalidInput, match="item_id"):
        read_split(tmp_path, None)
    (tmp_path / "train.csv").write_text("user_id,item_id,timestamp\na,b,noon\n")
    with pytest.raises(InvalidInput, match="Unix seconds"):
        read_split(tmp_path, None)
