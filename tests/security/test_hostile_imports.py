"""Files to import that are damaged, or made to harm: rows with reasons, or InvalidInput, and nothing else."""

import gzip
import io
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.checks import event_faults
from app.errors import LearnrecError
from jobs.imports.rows import good_rows, sieve
from jobs.imports.run import source_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CSV = b"user_id,content_id,event_type,value,ts\n" + b"ann,intro,view,0.25,2026-03-01T12:00:00Z\n" * 20
LINE = b'{"user_id": "ann", "content_id": "c", "event_type": "view", "ts": "2026-03-01T12:00:00Z"}\n'
FUZZ = settings(max_examples=120, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imports")


def parquet() -> bytes:
    with io.BytesIO() as file:
        pl.read_csv(CSV).write_parquet(file)
        return file.getvalue()


def taken(folder: Path, content: bytes, name: str, format_: str) -> int:
    """How many rows become events; every one of them passes the checks. LearnrecError: the file is none."""
    (path := folder / name).write_bytes(content)
    source, number = source_of(path, format_), 0
    for piece in source.pieces(lambda _: None):
        good = good_rows(piece.rows, sieve(piece.block), now=NOW)
        if "event_id" in good.table.schema.names:
            assert event_faults(good.table, now=NOW).null_count() == len(good.table)
            number += len(good.table)
    return number


def attempt(folder: Path, content: bytes, name: str, format_: str = "csv") -> int:
    try:
        return taken(folder, content, name, format_)
    except LearnrecError:
        return -1


def test_what_is_damaged_below_is_whole_before(folder: Path) -> None:
    assert attempt(folder, CSV, "events.csv") == 20
    assert attempt(folder, gzip.compress(CSV), "events.csv.gz") == 20
    assert attempt(folder, parquet(), "events.parquet") == 20
    assert attempt(folder, LINE * 3, "all.jsonl", "jsonl") == 3


@FUZZ
@given(noise=st.binary(max_size=300))
@pytest.mark.parametrize(("name", "format_"), [("events.csv", "csv"), ("all.jsonl", "jsonl")])
def test_noise_becomes_no_event(folder: Path, name: str, format_: str, noise: bytes) -> None:
    assert attempt(folder, noise, name, format_) <= 0
    good = CSV if name.endswith("csv") else LINE
    assert attempt(folder, good + noise, name, format_) <= good.count(b"ann")


changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=6)


@FUZZ
@given(flips=changes, cut=st.integers(0, 10**6) | st.none())
@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz", "events.parquet"])
def test_a_file_with_flipped_bytes_is_read_as_far_as_it_goes_or_refused(
    folder: Path, name: str, flips: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray({"events.csv": CSV, "events.csv.gz": gzip.compress(CSV, mtime=0)}.get(name) or parquet())
    for at, mask in flips:
        data[at % len(data)] ^= mask
    attempt(folder, bytes(data[: cut % len(data)] if cut is not None else data), name)


@pytest.mark.parametrize(
    "cell",
    [
        b'"=HYPERLINK(""http://evil.example"")"', b"../../etc/passwd", b"ann\x00", b"\xff\xfe", b"<script>",
        b"x" * 10_000, "\u202eann".encode(), b'"a\nb"', b"'; DROP TABLE users; --",
    ],
)  # fmt: skip
def test_odd_cells_become_opaque_ids_or_nothing(folder: Path, cell: bytes) -> None:
    """Ids are hashed where they are no UUID: nothing that was written into a cell is stored as it is."""
    row = b"user_id,content_id,event_type,value,ts\n" + cell + b",intro,view,0.25,2026-03-01T12:00:00Z\n"
    assert attempt(folder, row, "events.csv") in (-1, 0, 1)


def test_a_small_file_that_unpacks_to_much_is_read_a_block_at_a_time(folder: Path) -> None:
    bomb = gzip.compress(b"user_id,content_id,event_type,value,ts\n" + b"," * 50_000_000)
    assert len(bomb) < 200_000
    assert attempt(folder, bomb, "events.csv.gz") <= 0


def test_a_deep_line_is_one_bad_line(folder: Path) -> None:
    deep = b'{"user_id": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    assert attempt(folder, LINE + deep + LINE, "all.jsonl", "jsonl") == 2
