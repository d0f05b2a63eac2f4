"""Ranked lists from Parquet, in the index space of a part: checked, and what cannot count taken out and counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.errors import InvalidInput
from jobs.report.part import Part, index_in

DEPTH = 100
"""No metric looks further down a list."""

NEEDED = ("user_id", "item_id", "rank")
OPTIONAL = ("score", "source", "candidate_rank")


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists of the judged learners, best first, without what they knew; padding -1."""

    index: NDArray[np.int32]  # [B, DEPTH]
    candidates: NDArray[np.int32] | None  # [B, DEPTH] in the order of the candidate stage
    score: NDArray[np.float32] | None  # [B, DEPTH] NaN in padding
    source: NDArray[np.int16] | None  # [B, DEPTH] code of `sources`, -1 in padding
    sources: tuple[str, ...]
    num_learners: int  # judged learners who have a list
    notes: tuple[str, ...]  # what was taken out, and what is missing


def read_lists(path: Path, part: Part) -> Lists:
    """Raises InvalidInput: no such file, missing columns, ranks that do not order, or no judged learner in it."""
    frame = _parquet(path)
    users, items = index_in(frame["user_id"], part.user_ids[part.judged]), index_in(frame["item_id"], part.item_ids)
    frame = frame.with_columns(row=users, column=items)
    _ranks_must_order(frame, path)
    told = frame.filter(pl.col("row") >= 0)
    if not len(told):
        raise InvalidInput(
            f"{path}: none of its {frame['user_id'].n_unique()} learners is judged: are these the lists of this split?"
        )
    kept = told.filter(pl.col("column") >= 0).sort("row", "rank").unique(("row", "column"), keep="first")
    seen = part.past.matrix[part.judged[kept["row"].to_numpy()], kept["column"].to_numpy()]
    fresh = kept.filter(pl.Series(np.asarray(seen).ravel() == 0)).sort("row", "rank")
    sources = tuple(sorted(fresh["source"].unique().to_list())) if "source" in fresh.columns else ()
    return Lists(
        index=_matrix(fresh, "column", "rank", part),
        candidates=_matrix(fresh, "column", "candidate_rank", part) if "candidate_rank" in fresh.columns else None,
        score=_scores(fresh, part),
        source=_codes(fresh, sources, part) if sources else None,
        sources=sources,
        num_learners=fresh["row"].n_unique(),
        notes=_notes(frame, told, kept, fresh, part),
    )


def _parquet(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise InvalidInput(f"no {path}: `learnrec evaluate offline` writes ranked lists")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as exc:
        raise InvalidInput(f"{path} is no Parquet file: {exc}") from exc
    absent = [name for name in NEEDED if name not in frame.columns]
    if absent:
        raise InvalidInput(f"{path} lacks {', '.join(absent)}; it has {', '.join(frame.columns)}")
    if not len(frame):
        raise InvalidInput(f"{path} has no row")
    frame = frame.select(*NEEDED, *(name for name in OPTIONAL if name in frame.columns))
    for name in ("rank", "candidate_rank", "score"):
        if name in frame.columns and not frame[name].dtype.is_numeric():
            raise InvalidInput(f"{path}: {name} must be a number, but is {frame[name].dtype}")
    empty = {name: count for name, count in frame.null_count().row(0, named=True).items() if count}
    if empty:
        raise InvalidInput(f"{path}: values are missing: " + ", ".join(f"{n} of {name}" for name, n in empty.items()))
    return frame.with_columns(pl.col("user_id", "item_id").cast(pl.String))


def _ranks_must_order(frame: pl.DataFrame, path: Path) -> None:
    for name in ("rank", "candidate_rank"):
        if name not in frame.columns:
            continue
        again = frame.filter(frame.select("user_id", name).is_duplicated())
        if len(again):
            user, rank = again["user_id"][0], again[name][0]
            raise InvalidInput(
                f"{path}: {len(again)} rows of {again['user_id'].n_unique()} learners share a {name}, such as {name} "
                f"{rank} of learner {user}: every row of a learner needs a {name} of its own, 1 for the best"
            )


def _matrix(frame: pl.DataFrame, value: str, order: str, part: Part) -> NDArray[np.int32]:
    return _spread(frame.sort("row", order), value, len(part.judged), fill=-1).astype(np.int32)


def _spread(frame: pl.DataFrame, value: str, num_rows: int, *, fill: float) -> NDArray[np.generic]:
    """`value` of a frame sorted by row and place, a line a row. `[num_rows, DEPTH]`."""
    row = frame["row"].to_numpy()
    place = np.arange(len(row)) - np.searchsorted(row, row, side="left")
    result = np.full((num_rows, DEPTH), fill)
    inside = place < DEPTH
    result[row[inside], place[inside]] = frame[value].to_numpy()[inside]
    return result


def _scores(frame: pl.DataFrame, part: Part) -> NDArray[np.float32] | None:
    if "score" not in frame.columns:
        return None
    return _spread(frame, "score", len(part.judged), fill=np.nan).astype(np.float32)


def _codes(frame: pl.DataFrame, sources: tuple[str, ...], part: Part) -> NDArray[np.int16]:
    codes: Mapping[str, int] = {name: code for code, name in enumerate(sources)}
    coded = frame.with_columns(pl.col("source").replace_strict(codes, return_dtype=pl.Int16).alias("code"))
    return _spread(coded, "code", len(part.judged), fill=-1).astype(np.int16)


def _cut_short(told: pl.DataFrame) -> int:
    """Lists whose candidate ranks have gaps: not every candidate came into the list."""
    if "candidate_rank" not in told.columns:
        return 0
    ranks = told.group_by("row").agg(pl.col("candidate_rank").max().alias("last"), pl.len().alias("size"))
    return int((ranks["last"] > ranks["size"]).sum())


def _notes(
    frame: pl.DataFrame, told: pl.DataFrame, kept: pl.DataFrame, fresh: pl.DataFrame, part: Part
) -> tuple[str, ...]:
    """Counted facts that a reader has to know."""
    strangers = frame.filter(pl.col("row") < 0)["user_id"].n_unique()
    unknown = int((told["column"] < 0).sum())
    repeats, known = len(told) - unknown - len(kept), len(kept) - len(fresh)
    missing = len(part.judged) - fresh["row"].n_unique()
    short = int((fresh.group_by("row").len()["len"] < DEPTH).sum())
    cut = _cut_short(told)
    facts = (
        (missing, f"{missing} of {len(part.judged)} judged learners have no list: they score 0"),
        (strangers, f"lists of {strangers} learners who are not judged were left out"),
        (unknown, f"{unknown} rows are on contents of neither part: they were taken out"),
        (repeats, f"{repeats} rows repeat a content in its list: the best rank counts"),
        (known, f"{known} rows are on contents that the learner met in training: they were taken out"),
        (short, f"{short} lists have fewer than {DEPTH} contents"),
        (cut, f"{cut} lists hold only some of their candidates: the candidate stage is judged on these"),
    )
    return tuple(said for count, said in facts if count)
