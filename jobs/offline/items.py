"""An items file of any origin as CONTENT_SCHEMA: columns are recognised by name, categories become tags."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from app.domain.contents import CONTENT_SCHEMA, CONTENT_TYPES, ContentType
from app.domain.ids import canonical_id
from app.errors import InvalidInput

ID_COLUMNS = ("item_id", "content_id", "mapped_id", "id")
TITLE_COLUMNS = ("title", "name")
CREATED_COLUMNS = ("created_at", "published_at", "created")
DIFFICULTY_COLUMNS = ("difficulty", "level")
DIFFICULTIES = {"beginner": 1, "easy": 1, "intermediate": 3, "medium": 3, "advanced": 5, "hard": 5, "expert": 5}
MIN_SHARED, MAX_TOKEN = 2, 80
"""A tag is a token of at most MAX_TOKEN characters that at least MIN_SHARED contents carry."""


def read_items(path: Path | None, item_ids: list[str], first_met: dict[str, int]) -> pa.Table:
    """Contents of the file and those of `item_ids` that it lacks; a content without a date dates from `first_met`.

    Raises InvalidInput: no such file, or no column of ids in it.
    """
    frame = pl.DataFrame({"item_id": item_ids}) if path is None else _read(path)
    names = {name.lower(): name for name in frame.columns}
    id_column = _named(names, ID_COLUMNS)
    if id_column is None:
        raise InvalidInput(f"{path}: no column of ids among {frame.columns}: name one of {', '.join(ID_COLUMNS)}")
    frame = frame.with_columns(pl.col(id_column).cast(pl.String).str.strip_chars()).drop_nulls(id_column)
    frame = frame.unique(id_column, keep="first", maintain_order=True)
    missing = sorted(set(item_ids) - set(frame[id_column].to_list()))
    frame = pl.concat([frame, pl.DataFrame({id_column: missing}, schema={id_column: pl.String})], how="diagonal")
    ids = frame[id_column].to_list()
    title = _named(names, TITLE_COLUMNS)
    used = {id_column, title, _named(names, CREATED_COLUMNS), _named(names, DIFFICULTY_COLUMNS)}
    columns = {
        "content_id": [canonical_id(i) for i in ids],
        "external_id": ids,
        "title": [t or i for t, i in zip(frame[title].cast(pl.String).to_list() if title else ids, ids, strict=True)],
        "type": _types(frame, names),
        "tags": _tags(frame, [c for c in frame.columns if c not in used]),
        "difficulty": _difficulties(frame, _named(names, DIFFICULTY_COLUMNS)),
        "created_at": _created(frame, _named(names, CREATED_COLUMNS), [first_met.get(i) for i in ids]),
    }
    return pa.table(columns, schema=CONTENT_SCHEMA)


def _read(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise InvalidInput(f"no items file {path}: give a CSV, gzipped CSV or Parquet file")
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_csv(path, infer_schema=False, quote_char='"', truncate_ragged_lines=True)


def _named(names: dict[str, str], wanted: tuple[str, ...]) -> str | None:
    return next((names[name] for name in wanted if name in names), None)


def _types(frame: pl.DataFrame, names: dict[str, str]) -> list[str]:
    known = {str(t) for t in CONTENT_TYPES}
    raw = frame[names["type"]].cast(pl.String).to_list() if "type" in names else [None] * len(frame)
    return [t.lower() if t and t.lower() in known else str(ContentType.VIDEO) for t in raw]


def _tags(frame: pl.DataFrame, columns: list[str]) -> list[list[str]]:
    """Tokens of the textual columns, split at '|', that several contents share."""
    tags: list[list[str]] = [[] for _ in range(len(frame))]
    for column in columns:
        if frame[column].dtype != pl.String:
            continue
        rows = [[t.strip() for t in (v or "").split("|")] for v in frame[column].to_list()]
        counts: dict[str, int] = {}
        for row in rows:
            for token in set(row):
                counts[token] = counts.get(token, 0) + 1
        for number, row in enumerate(rows):
            shared = (t for t in dict.fromkeys(row) if t and len(t) <= MAX_TOKEN and counts[t] >= MIN_SHARED)
            tags[number].extend(f"{column}:{t}" for t in shared)
    return tags


def _difficulties(frame: pl.DataFrame, column: str | None) -> pa.Array:
    raw = frame[column].cast(pl.String).to_list() if column else [None] * len(frame)
    return pa.array([_difficulty(value) for value in raw], pa.int8())


def _difficulty(value: str | None) -> int | None:
    text = (value or "").strip().lower()
    if text in DIFFICULTIES:
        return DIFFICULTIES[text]
    return int(text) if text in {"1", "2", "3", "4", "5"} else None


def _created(frame: pl.DataFrame, column: str | None, fallback: list[int | None]) -> pa.Array:
    raw = frame[column].cast(pl.String).to_list() if column else [None] * len(frame)
    moments = pd.to_datetime(pd.Series(raw, dtype="object"), errors="coerce", utc=True, format="mixed")
    parsed = [None if pd.isna(m) else int(m.timestamp()) for m in moments]
    seconds = [p if p is not None else (f or 0) for p, f in zip(parsed, fallback, strict=True)]
    return pa.array(np.array(seconds, np.int64) * 1_000_000, pa.timestamp("us", tz="UTC"))
