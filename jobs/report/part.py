"""What lists are judged on: the training part as index arrays, and what its learners met afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.errors import InvalidInput
from app.features.histories import Histories
from app.features.items import first_meetings
from app.features.learners import EventArrays
from app.models.baselines import Past

NEEDED = {"train.csv": ("user_id", "item_id"), "test.csv": ("user_id", "item_id"), "users.csv": ("user_id",)}


@dataclass(frozen=True)
class Part:
    """A split in index space: contents of both parts, learners of the training part, both in order of their ids."""

    item_ids: pl.Series  # [I]
    user_ids: pl.Series  # [U]
    past: Past
    judged: NDArray[np.int64]  # [B] rows of the learners who are judged: they have a past and test pairs
    wanted: Histories  # [B] what they met in the test part
    notes: tuple[str, ...]  # what of the files was left out, and why
    num_events: int
    temporal: bool  # the test part is all that came after training

    @cached_property
    def known(self) -> Histories:
        """The past of the judged. `[B]`."""
        return Histories.of(self.past.pairs, self.judged.astype(np.int32))

    @cached_property
    def relevant(self) -> list[NDArray[np.int32]]:
        return self.wanted.lists()


def read_part(folder: Path) -> Part:
    """Raises InvalidInput: a file or column is missing, a file is empty or unreadable, or nobody can be judged."""
    train, test, users = (_csv(folder / name, columns) for name, columns in NEEDED.items())
    user_ids = _in_order(train["user_id"].unique())
    item_ids = _in_order(pl.concat([train["item_id"], test["item_id"]]).unique())
    timed = "timestamp" in train.columns and train["timestamp"].n_unique() > 1
    events = EventArrays.sort(
        index_in(train["user_id"], user_ids),
        index_in(train["item_id"], item_ids),
        np.zeros(len(train), np.int8),
        _seconds(train, folder / "train.csv") if timed else np.zeros(len(train), np.int64),
    )
    pairs = events.take(first_meetings(events))
    rows = index_in(test["user_id"], user_ids)
    cells = np.unique(np.stack([rows, index_in(test["item_id"], item_ids)], 1)[rows >= 0], axis=0)
    if not len(cells):
        raise InvalidInput(f"{folder}: no learner of test.csv is in train.csv, so nobody can be judged")
    judged, size = np.unique(cells[:, 0], return_counts=True)
    past = Past(pairs, num_learners=len(user_ids), num_items=len(item_ids), timed=timed)
    return Part(
        item_ids=item_ids,
        user_ids=user_ids,
        past=past,
        judged=judged.astype(np.int64),
        wanted=Histories(np.r_[0, np.cumsum(size)], cells[:, 1].astype(np.int32)),
        notes=_notes(test, rows, cells, past) + _unasked(user_ids.gather(judged), users["user_id"]),
        num_events=len(train),
        temporal=timed and _comes_after(test, int(pairs.ts.max())),
    )


def index_in(ids: pl.Series, known: pl.Series) -> NDArray[np.int32]:
    """The place of each id in `known`, -1 where it is not there. `[n]`."""
    places = pl.DataFrame({"id": known, "place": np.arange(len(known), dtype=np.int32)})
    found = pl.DataFrame({"id": ids}).join(places, on="id", how="left", maintain_order="left")
    return found["place"].fill_null(-1).to_numpy()


def _comes_after(test: pl.DataFrame, end: int) -> bool:
    """Whether no test event is older than the last one of training."""
    if "timestamp" not in test.columns:
        return False
    first = test["timestamp"].cast(pl.Float64, strict=False).min()
    return isinstance(first, float) and first >= end


def _notes(test: pl.DataFrame, rows: NDArray[np.int32], cells: NDArray[np.int32], past: Past) -> tuple[str, ...]:
    """Counted facts that a reader has to know."""
    user = test["user_id"]
    newcomers = user.filter(pl.Series(rows < 0)).n_unique()
    repeats = int((rows >= 0).sum()) - len(cells)
    again = int(past.matrix[cells[:, 0], cells[:, 1]].sum())
    unseen = float((past.popularity[cells[:, 1]] == 0).mean())
    facts = (
        (newcomers, f"{newcomers} learners of the test part have no training event: they are not judged"),
        (repeats, f"{repeats} repeated pairs of the test part count once"),
        (again, f"{again} test pairs were met in training already: they stay in the ideal, but no list can hold them"),
        (unseen, f"{unseen:.1%} of the test pairs are on contents without any training event"),
    )
    return tuple(said for count, said in facts if count)


def _unasked(judged: pl.Series, asked: pl.Series) -> tuple[str, ...]:
    count = len(judged) - int(judged.is_in(asked.implode()).sum())
    return (f"{count} judged learners are not in users.csv",) if count else ()


def _csv(path: Path, needed: Sequence[str]) -> pl.DataFrame:
    if not path.exists():
        raise InvalidInput(f"no {path}: a split folder holds {', '.join(NEEDED)}")
    try:
        frame = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.NoDataError as exc:
        raise InvalidInput(f"{path} is empty: it needs a header and rows") from exc
    except pl.exceptions.PolarsError as exc:
        raise InvalidInput(f"{path} is no CSV: {exc}") from exc
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise InvalidInput(f"{path} lacks {', '.join(absent)}; it has {', '.join(frame.columns)}")
    frame = frame.with_columns(pl.col(*needed).str.strip_chars())
    incomplete = frame.select(pl.any_horizontal(pl.col(*needed).is_null().or_(pl.col(*needed) == "")).sum()).item()
    if incomplete:
        raise InvalidInput(f"{path}: {incomplete} of {len(frame)} rows lack {' or '.join(needed)}: complete them")
    if not len(frame):
        raise InvalidInput(f"{path} has a header and no row")
    return frame


def _seconds(train: pl.DataFrame, path: Path) -> NDArray[np.int64]:
    seconds = train["timestamp"].cast(pl.Float64, strict=False)
    wrong = seconds.is_null() | seconds.is_nan()
    if wrong.any():
        first = train["timestamp"].filter(wrong)[0]
        raise InvalidInput(f"{path}: timestamp must be Unix seconds, but {wrong.sum()} rows are not, such as {first!r}")
    return seconds.cast(pl.Int64).to_numpy()


def _in_order(ids: pl.Series) -> pl.Series:
    """Sorted as numbers where all are numbers, so that ties and resamples do not hang on how many digits there are."""
    number = ids.cast(pl.Int64, strict=False)
    return ids.sort() if number.null_count() else ids.gather(number.arg_sort())
