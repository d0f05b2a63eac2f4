"""The features of `build_features` by Polars in one process: the rival that the cluster's job is timed against.

Polars is given what helps it: typed columns, its own threads, learners in slices so that its windows fit in memory.
"""

from pathlib import Path

import polars as pl

from app.domain.events import EVENT_STRENGTH, EVENT_TYPES, SESSION_GAP_S, EventType
from app.domain.learners import HISTORY, WINDOW
from app.features.aggregates import FAVOURITE_TAGS

SLICE = 50_000
"""Events whose windows are in memory at a time: 64 rows each."""

_DAY_S = 86_400
_COMPLETE = EVENT_TYPES.index(EventType.COMPLETE)
_STRENGTH = pl.col("event_type").replace_strict(dict(enumerate(EVENT_STRENGTH.tolist())), return_dtype=pl.Float32)


def build_with_polars(files: list[str], *, users: pl.DataFrame, contents: pl.DataFrame, out: Path) -> None:
    """Examples, learner and item aggregates of EVENT_SCHEMA `files`, as Parquet in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    events = indexed(files, users, contents)
    events.select("user", "content", "event_type", "ts").write_parquet(out / "events.parquet")
    cohorts = users.select(
        (pl.int_range(pl.len(), dtype=pl.Int32) + 1).alias("user"),
        (pl.col("cohort_tag").rank("dense").cast(pl.Int32)).fill_null(0).alias("cohort_index"),
    )
    for number, part in enumerate(_slices(events)):
        made = examples(part).join(cohorts, left_on="user_index", right_on="user", how="left")
        made.write_parquet(out / f"examples-{number:05d}.parquet")
    tags = contents.select(pl.int_range(pl.len(), dtype=pl.Int32).alias("content"), "tags")
    learner_aggregates(events, tags).write_parquet(out / "learner_aggregates.parquet")
    item_aggregates(events).write_parquet(out / "items.parquet")


def indexed(files: list[str], users: pl.DataFrame, contents: pl.DataFrame) -> pl.DataFrame:
    """Events in index space, sorted by learner and time; `first`: is it the learner's first on the content."""
    user = users.select("user_id", user=pl.int_range(pl.len(), dtype=pl.Int32) + 1)
    content = contents.select("content_id", content=pl.int_range(pl.len(), dtype=pl.Int32))
    code = {str(kind): number for number, kind in enumerate(EVENT_TYPES)}
    return (
        pl.scan_parquet(files)
        .select("user_id", "content_id", "event_type", "ts")
        .join(user.lazy(), on="user_id")
        .join(content.lazy(), on="content_id")
        .select(
            "user",
            "content",
            pl.col("event_type").replace_strict(code, return_dtype=pl.Int8),
            pl.col("ts").dt.epoch("s"),
        )
        .sort("user", "ts", maintain_order=True)
        .with_columns(
            first=pl.struct("user", "content").is_first_distinct(),
            strength=_STRENGTH.max().over("user", "content"),
        )
        .collect()
    )


def _slices(events: pl.DataFrame) -> list[pl.DataFrame]:
    """Whole learners, about SLICE events each."""
    group = events.select((pl.int_range(pl.len()) // SLICE).first().over("user")).to_series()
    return events.with_columns(slice=group).partition_by("slice", maintain_order=True, include_key=False)


def examples(events: pl.DataFrame) -> pl.DataFrame:
    """One row a first meeting: the features of the window of events before it."""
    met = (
        events.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
        .with_columns(start=pl.col("row").first().over("user"))
        .filter("first")
        .select("row", "start", "user", pl.col("ts").alias("now"), "content", "strength")
    )
    window = met.select("row", "start", "now").with_columns(back=pl.lit(list(range(1, WINDOW + 1))))
    cells = (
        window.explode("back").with_columns(at=pl.col("row") - pl.col("back")).filter(pl.col("at") >= pl.col("start"))
    )
    seen = events.select(
        pl.col("content").gather(cells["at"]),
        pl.col("event_type").gather(cells["at"]),
        pl.col("ts").gather(cells["at"]),
    )
    cells = cells.select("row", "now").hstack(seen).with_columns(strength=_STRENGTH)
    later = pl.col("ts").shift(1).over("row").fill_null(pl.col("now"))
    near = cells.select("row", near=(later - pl.col("ts") <= SESSION_GAP_S).cast(pl.Int8))
    near = near.group_by("row").agg(session_position=pl.col("near").cum_min().sum().cast(pl.Float32))
    counts = cells.group_by("row").agg(num_events=pl.len().cast(pl.Float32))
    distinct = cells.group_by("row", "content", maintain_order=True).agg(
        history_age_s=(pl.col("now") - pl.col("ts")).first().cast(pl.Float32),
        history_strength=pl.col("strength").max(),
        done=(pl.col("event_type") == _COMPLETE).any(),
    )
    history = distinct.group_by("row", maintain_order=True).agg(
        history=pl.col("content").head(HISTORY),
        history_age_s=pl.col("history_age_s").head(HISTORY),
        history_strength=pl.col("history_strength").head(HISTORY),
        completion_rate=pl.col("done").head(HISTORY).mean().cast(pl.Float32),
    )
    made = met.join(history, on="row", how="left").join(near, on="row", how="left").join(counts, on="row", how="left")
    zero = pl.col("num_events", "completion_rate", "session_position").fill_null(0)
    return made.with_columns(zero).rename({"user": "user_index"}).drop("row", "start")


def learner_aggregates(events: pl.DataFrame, tags: pl.DataFrame) -> pl.DataFrame:
    """One row a learner."""
    pairs = events.group_by("user", "content").agg(done=(pl.col("event_type") == _COMPLETE).any())
    favourite = (
        pairs.join(tags, on="content")
        .explode("tags")
        .group_by("user", "tags")
        .len()
        .sort("user", "len", "tags", descending=[False, True, False])
        .group_by("user", maintain_order=True)
        .agg(favourite_tags=pl.col("tags").head(FAVOURITE_TAGS))
    )
    last = events.reverse().unique(["user", "content"], keep="first", maintain_order=True)
    return (
        events.group_by("user")
        .agg(total_views=(pl.col("event_type") == 0).sum(), last_seen=pl.col("ts").max())
        .join(pairs.group_by("user").agg(num_contents=pl.len(), completion_rate=pl.col("done").mean()), on="user")
        .join(favourite, on="user", how="left")
        .join(last.group_by("user", maintain_order=True).agg(last_items=pl.col("content").head(HISTORY)), on="user")
    )


def item_aggregates(events: pl.DataFrame) -> pl.DataFrame:
    """One row a content that was met."""
    now = events["ts"].max() + 1  # type: ignore[operator]  # an integer column
    met = events.filter("first")
    since = {name: pl.col("ts").ge(now - days * _DAY_S).sum() for name, days in (("30d", 30), ("7d", 7))}
    learners = met.group_by("content").agg(learners=pl.len(), **{f"learners_{k}": v for k, v in since.items()})
    counts = events.group_by("content").agg(
        views=(pl.col("event_type") == 0).sum(), completes=(pl.col("event_type") == _COMPLETE).sum()
    )
    return counts.join(learners, on="content")
