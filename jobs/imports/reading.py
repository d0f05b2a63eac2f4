"""Files as blocks of text columns with line numbers; a block at a time, so that memory does not grow with the file."""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from app.errors import InvalidInput

BLOCK_ROWS = 20_000
MAX_RAW_LENGTH = 1_000
LIST_SEPARATOR = "\x1f"

OnBytes = Callable[[int], None]
"""Told how many bytes of the file have been read."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that cannot be read as a row."""

    line: int
    reason: str
    raw: str


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a file, all columns text, "" where the file says nothing."""

    frame: pl.DataFrame  # the file's columns
    lines: Sequence[int]  # [n] number of the line that a row ends on; of the row itself in Parquet
    raws: Sequence[str]  # [n] the row as the file has it, at most MAX_RAW_LENGTH characters
    broken: Sequence[Broken] = ()


def read_blocks(path: Path, columns: Sequence[str], on_bytes: OnBytes) -> Iterator[Block]:
    """The rows of a CSV or Parquet file. Raises InvalidInput where one of `columns` is missing."""
    if path.suffix == ".parquet":
        yield from _parquet_blocks(path, columns)
        return
    with open_text(path, on_bytes) as text:
        reader = csv.reader(text)
        header = next(reader, [])
        _check_columns(path, header, columns)
        while True:
            block, ended = _csv_block(reader, header)
            if block.lines or block.broken:
                yield block
            if ended:
                return


@contextmanager
def open_text(path: Path, on_bytes: OnBytes) -> Iterator[io.TextIOWrapper]:
    """The file's text, unpacked where its name ends in .gz; raises InvalidInput where it cannot be."""
    with path.open("rb") as packed:
        stream = _Counted(packed, on_bytes)
        plain = gzip.GzipFile(fileobj=stream) if path.suffix == ".gz" else stream
        with io.TextIOWrapper(io.BufferedReader(plain, 2**18), "utf-8-sig", errors="replace", newline="") as text:  # type: ignore[arg-type]  # GzipFile reads like a raw stream
            try:
                yield text
            except (gzip.BadGzipFile, zlib.error, EOFError) as exc:
                raise InvalidInput(f"{path} is damaged: {exc}") from exc


class _Counted(io.RawIOBase):
    """A file that tells how far it has been read."""

    def __init__(self, file: io.BufferedReader, on_bytes: OnBytes) -> None:
        self._file, self._on_bytes = file, on_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # io's stubs know no plain bytearray
        count = self._file.readinto(buffer)
        self._on_bytes(self._file.tell())
        return count


class _Reader(Protocol):
    """What `csv.reader` returns."""

    line_num: int

    def __next__(self) -> list[str]: ...


def _csv_block(reader: _Reader, header: list[str]) -> tuple[Block, bool]:
    rows: list[list[str]] = []
    lines: list[int] = []
    broken: list[Broken] = []
    ended = False
    while len(rows) + len(broken) < BLOCK_ROWS:
        try:
            row = next(reader)
        except StopIteration:
            ended = True
            break
        except csv.Error as exc:
            broken.append(Broken(reader.line_num, "unreadable", str(exc)))
            continue
        if len(row) == len(header):
            rows.append(row)
            lines.append(reader.line_num)
        elif row:  # an empty line is no row
            broken.append(Broken(reader.line_num, "wrong number of columns", _raw(row)))
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    frame = pl.DataFrame(dict(zip(header, map(list, columns), strict=True)), schema=dict.fromkeys(header, pl.String))
    return Block(frame, lines, [_raw(row) for row in rows], broken), ended


def _raw(row: list[str]) -> str:
    return ",".join(row)[:MAX_RAW_LENGTH]


def _parquet_blocks(path: Path, columns: Sequence[str]) -> Iterator[Block]:
    """Raises InvalidInput, at the block where the damage is."""
    try:
        yield from _parquet_frames(path, columns)
    except (pa.ArrowException, OSError, pl.exceptions.PolarsError) as exc:
        raise InvalidInput(f"{path} is no Parquet file, or damaged: {exc}") from exc


def _parquet_frames(path: Path, columns: Sequence[str]) -> Iterator[Block]:
    with pq.ParquetFile(path, memory_map=True) as file:
        _check_columns(path, file.schema_arrow.names, columns)
        row = 0
        for batch in file.iter_batches(BLOCK_ROWS):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            frame = frame.select(_as_text(name, kind) for name, kind in frame.schema.items())
            raws = (
                frame.select(pl.concat_str(pl.all(), separator=",").str.slice(0, MAX_RAW_LENGTH)).to_series().to_list()
            )
            yield Block(frame, range(row + 1, row + 1 + len(frame)), raws)
            row += len(frame)


def _as_text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.List):
        return column.cast(pl.List(pl.String)).list.join("|").fill_null("")
    if isinstance(kind, pl.Datetime):
        return column.dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").fill_null("")
    return column.cast(pl.String).fill_null("")


def _check_columns(path: Path, header: Sequence[str], columns: Sequence[str]) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        raise InvalidInput(
            f"{path} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, header)) or 'none'}: "
            "name its columns in a mapping file (--mapping)"
        )
    if len(set(header)) < len(header):
        raise InvalidInput(f"{path} has two columns of the same name: {', '.join(map(repr, header))}")


def read_json_blocks(path: Path, columns: dict[str, list[str]], on_bytes: OnBytes) -> Iterator[dict[str, Block]]:
    """The lines of a JSON Lines file, as blocks by kind; `columns`: kind -> the keys that its lines may have."""
    with open_text(path, on_bytes) as text:
        collected = _Lines(columns)
        for number, line in enumerate(text, 1):
            collected.add(number, line)
            if number % BLOCK_ROWS == 0:
                yield collected.blocks()
                collected = _Lines(columns)
        yield collected.blocks()


class _Lines:
    """JSON lines of one block, sorted by what they are."""

    def __init__(self, columns: dict[str, list[str]]) -> None:
        self._columns = columns
        self._rows: dict[str, list[tuple[int, str, list[str]]]] = {kind: [] for kind in columns}
        self._broken: dict[str, list[Broken]] = {kind: [] for kind in columns}

    def add(self, number: int, line: str) -> None:
        if not line.strip():
            return
        raw = line.rstrip("\r\n")[:MAX_RAW_LENGTH]
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            self._broken["events"].append(Broken(number, "no JSON object", raw))
            return
        kind = "events" if "event_type" in said else "contents" if "title" in said else "users"
        columns = self._columns[kind]
        if said.keys() - columns:
            unknown = sorted(str(key) for key in said.keys() - columns)[0][:40]
            self._broken[kind].append(Broken(number, f"unknown key {unknown}", raw))
            return
        self._rows[kind].append((number, raw, [_text(said.get(column)) for column in columns]))

    def blocks(self) -> dict[str, Block]:
        return {kind: self._block(kind) for kind in self._columns}

    def _block(self, kind: str) -> Block:
        header, rows = self._columns[kind], self._rows[kind]
        frame = pl.DataFrame([row for _, _, row in rows], schema=dict.fromkeys(header, pl.String), orient="row")
        return Block(frame, [n for n, _, _ in rows], [raw for _, raw, _ in rows], self._broken[kind])


def _text(value: object) -> str:
    if isinstance(value, list):
        return LIST_SEPARATOR.join(map(str, value))
    return "" if value is None else str(value)
