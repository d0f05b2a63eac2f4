"""A world as rows in the stores, or as files: for `learnrec data import`, and for judging ranked lists."""

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa

from app.adapters.event_log import EventLog
from app.ports.metadata import Warehouse
from jobs.progress import Advance
from jobs.world.world import World

TRAIN_SHARE = 0.9
TAG_SEPARATOR = "|"
SLICE = 20_000


def write_files(world: World, folder: Path, *, kind: Literal["csv", "parquet"] = "csv") -> list[Path]:
    """`users`, `contents` and `events`, under the ids and columns that the `csv` format expects by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    users, contents, events = (_frame(table) for table in (world.users, world.contents, world.events))
    own_name = {"user_id": users, "content_id": contents}
    for column, named in own_name.items():
        events = events.join(named.select(column, external_id=pl.col("external_id")), on=column, maintain_order="left")
        events = events.drop(column).rename({"external_id": column})
    tables = {
        "users": users.select(pl.col("external_id").alias("user_id"), "cohort_tag", "created_at"),
        "contents": contents.drop("content_id").rename({"external_id": "content_id"}),
        "events": events.select("user_id", "content_id", "event_type", "value", "ts"),
    }
    return [_write(table, folder / f"{name}.{kind}") for name, table in tables.items()]


def write_split(world: World, folder: Path) -> tuple[int, int]:
    """`train.csv`, `test.csv` and `users.csv` of a temporal hold-out, and `items.csv`; returns the sizes of both.

    Each pair of learner and content counts once, at its first view; test begins at the 90% quantile of these times
    and holds learners of the training part only; `as_of` is the moment at which a learner's list is asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    views = _frame(world.events).filter(pl.col("event_type") == "view")
    pairs = (
        views.select("user_id", item_id="content_id", timestamp=pl.col("ts").dt.epoch("s"))
        .sort("timestamp", "user_id", "item_id", maintain_order=True)
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
    )
    cut = int(np.quantile(pairs["timestamp"].to_numpy(), TRAIN_SHARE))
    train, test = pairs.filter(pl.col("timestamp") < cut), pairs.filter(pl.col("timestamp") >= cut)
    test = test.filter(pl.col("user_id").is_in(train["user_id"].unique().to_list()))
    asked = test.group_by("user_id").agg(as_of=pl.col("timestamp").min()).sort("user_id")
    items = _frame(world.contents).rename({"content_id": "item_id"})
    for name, table in (("train", train), ("test", test), ("users", asked), ("items", items)):
        _write(table, folder / f"{name}.csv")
    return len(train), len(test)


def _write(table: pl.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        table.write_parquet(path)
        return path
    lists = [name for name, kind in table.schema.items() if isinstance(kind, pl.List)]
    flat = table.with_columns(pl.col(name).list.join(TAG_SEPARATOR) for name in lists)
    flat.write_csv(path, datetime_format="%Y-%m-%dT%H:%M:%SZ")
    return path


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def load_world(world: World, *, warehouse: Warehouse, log: EventLog, advance: Advance) -> int:
    """Users and contents into the warehouse, events that it has not yet into the log; returns how many went there."""
    warehouse.put_contents(world.contents)
    warehouse.put_users(world.users)
    sent = 0
    for start in range(0, len(world.events), SLICE):
        slice_ = world.events.slice(start, SLICE)
        new = warehouse.new_events(slice_).known
        log.append(new)
        sent += len(new)
        advance(start + len(slice_), f"{sent:,} events")
    return sent
