"""A split folder: train.csv, users.csv; what is asked and what may be learned from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from app.domain.contents import USER_SCHEMA
from app.domain.events import EVENT_TYPES
from app.domain.ids import canonical_id
from app.errors import InvalidInput
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.dataset import Dataset, encode_ids
from app.features.items import DAY_S
from app.features.learners import EventArrays
from jobs.offline.items import read_items

REQUIRED = ("user_id", "item_id")
SEED = 7


@dataclass(frozen=True, slots=True)
class Split:
    """Training events as a dataset, and the learners to rank for."""

    dataset: Dataset
    item_ids: tuple[str, ...]  # outside id by catalogue index
    users: tuple[str, ...]  # outside ids, in the order asked
    user_index: NDArray[np.int32]  # [B] 0 where the learner has no training event
    as_of: NDArray[np.int64]  # [B] Unix seconds; the end of training where the folder says none


def read_split(folder: Path, items: Path | None) -> Split:
    """Raises InvalidInput: a file or a column is missing, or a value is no number where one is needed."""
    train = _in_some_order(_csv(folder / "train.csv"))
    first = train.group_by("item_id").agg(pl.col("timestamp").min()).rows()
    contents = read_items(items, sorted(set(train["item_id"].to_list())), dict(first))
    catalogue = Catalogue.build(contents)
    user_ids = sorted(set(train["user_id"].to_list()))
    vocabulary = LearnerVocabulary.build(_users(user_ids))
    events = EventArrays.sort(
        _encode(train["user_id"], vocabulary.index_of),
        _encode(train["item_id"], catalogue.index_of),
        _event_types(train),
        train["timestamp"].to_numpy(),
    )
    asked = _csv(folder / "users.csv", required=("user_id",))
    end = int(train["timestamp"].max() or 0)  # type: ignore[arg-type]  # an integer column
    as_of = asked["as_of"].cast(pl.Int64).to_numpy() if "as_of" in asked.columns else np.full(len(asked), end)
    return Split(
        dataset=Dataset(catalogue, vocabulary, events),
        item_ids=tuple(catalogue.table["external_id"].to_pylist()),
        users=tuple(asked["user_id"].to_list()),
        user_index=_encode(asked["user_id"], vocabulary.index_of),
        as_of=np.maximum(as_of.astype(np.int64), 0),
    )


def _csv(path: Path, *, required: tuple[str, ...] = REQUIRED) -> pl.DataFrame:
    if not path.exists():
        raise InvalidInput(f"no {path}: a split folder holds train.csv (user_id, item_id, …) and users.csv (user_id)")
    frame = pl.read_csv(path, infer_schema=False)
    absent = [name for name in required if name not in frame.columns]
    if absent:
        raise InvalidInput(f"{path} lacks {', '.join(absent)}; it has {', '.join(frame.columns)}")
    if "timestamp" not in frame.columns:
        return frame.with_columns(timestamp=pl.lit(0, pl.Int64))
    try:
        return frame.with_columns(pl.col("timestamp").cast(pl.Float64).cast(pl.Int64))
    except pl.exceptions.InvalidOperationError as exc:
        raise InvalidInput(f"{path}: timestamp must be Unix seconds: {exc}") from exc


def _in_some_order(train: pl.DataFrame) -> pl.DataFrame:
    """Events that all have one time get times of one day, at random, from a fixed seed.

    A temporal hold-out then is a random one of every learner, and no order is learned where none is known.
    """
    if train["timestamp"].n_unique() != 1:
        return train
    seconds = np.random.default_rng(SEED).integers(0, DAY_S, len(train))
    return train.with_columns(timestamp=pl.col("timestamp") + pl.Series(seconds))


def _users(user_ids: list[str]) -> pa.Table:
    columns = {
        "user_id": [canonical_id(i) for i in user_ids],
        "external_id": user_ids,
        "cohort_tag": pa.nulls(len(user_ids), pa.string()),
        "created_at": pa.array(np.zeros(len(user_ids), np.int64), pa.timestamp("us", tz="UTC")),
    }
    return pa.table(columns, schema=USER_SCHEMA)


def _encode(column: pl.Series, index_of: Callable[[list[str]], NDArray[np.int32]]) -> NDArray[np.int32]:
    return encode_ids(column.to_arrow(), lambda names: index_of([canonical_id(name) for name in names]))


def _event_types(frame: pl.DataFrame) -> NDArray[np.int8]:
    if "event_type" not in frame.columns:
        return np.zeros(len(frame), np.int8)
    codes = {str(t): code for code, t in enumerate(EVENT_TYPES)}
    return frame["event_type"].replace_strict(codes, default=0, return_dtype=pl.Int8).to_numpy()
