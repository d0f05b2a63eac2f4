"""What an import makes of files, before anything is stored: mappings, blocks, checks, lines and reasons."""

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.events import event_id_of
from app.domain.ids import canonical_id
from app.errors import InvalidInput, NotFound
from jobs.imports import reading
from jobs.imports.mapping import FORMATS, EventRows, Field, load_mapping, mapping_of
from jobs.imports.reading import Block, read_blocks
from jobs.imports.rows import Good, good_rows, sieve
from jobs.imports.run import source_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
EVENTS = mapping_of("csv").events[0]
HEADER = "user_id,content_id,event_type,value,ts\n"
Bad = list[tuple[int, str, str]]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[list[Good], Bad]]:
    def read(text: str | bytes, rows: EventRows = EVENTS, name: str = "events.csv") -> tuple[list[Good], Bad]:
        path = tmp_path / name
        content = text.encode() if isinstance(text, str) else text
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        good, bad = [], []
        for block in read_blocks(path, ["user_id"], lambda _: None):
            found = sieve(block)
            good.append(good_rows(rows, found, now=NOW))
            bad += found.bad
        return good, sorted(bad)

    return read


def test_a_good_row_becomes_an_event(read: Callable[..., tuple[list[Good], Bad]]) -> None:
    (good,), bad = read(HEADER + "ann,intro,view,0.25,2026-03-01T12:00:00+01:00\n")

    moment = datetime(2026, 3, 1, 11, tzinfo=UTC)
    user, content = canonical_id("ann"), canonical_id("intro")
    assert good.table.to_pylist() == [
        {
            "event_id": event_id_of(user, content, "view", moment),
            "user_id": user,
            "content_id": content,
            "event_type": "view",
            "value": 0.25,
            "ts": moment,
        }
    ]
    assert bad == []


def test_each_bad_row_is_told_with_its_line_and_reason_and_the_rest_goes_on(
    read: Callable[..., tuple[list[Good], Bad]],
) -> None:
    lines = [
        "ann,intro,view,0.5,2026-03-01 12:00:00",
        ",intro,view,,2026-03-01 12:00:00",
        f"ann,{'x' * 65},view,,2026-03-01 12:00:00",
        "ann,in\ttro,view,,2026-03-01 12:00:00",
        "ann,intro,watched,,2026-03-01 12:00:00",
        "ann,intro,,,2026-03-01 12:00:00",
        "ann,intro,view,,yesterday",
        "ann,intro,view,,1970-01-01 00:00:00",
        "ann,intro,quiz_score,1.5,2026-03-01 12:00:00",
        "ann,intro,view,much,2026-03-01 12:00:00",
        "ann,intro,view",
        "ann,intro,complete,,2026-03-01T12:00:00Z",
    ]
    (good,), bad = read(HEADER + "\n".join(lines))

    assert [(line, reason) for line, reason, _ in bad] == [
        (3, "missing user_id"),
        (4, "oversized content_id"),
        (5, "unprintable content_id"),
        (6, "unknown event_type"),
        (7, "unknown event_type"),
        (8, "bad ts"),
        (9, "ts out of range"),
        (10, "value out of range"),
        (11, "value is no number"),
        (12, "wrong number of columns"),
    ]
    assert bad[0][2] == lines[1]
    assert good.table.column("event_type").to_pylist() == ["view", "complete"]
    assert good.rows == [0, len(lines) - 2]  # the row with too few columns is not in the block


def test_lines_are_counted_right_where_a_quoted_field_has_line_breaks(
    read: Callable[..., tuple[list[Good], Bad]],
) -> None:
    _, bad = read(HEADER + '"ann\n",intro,view,,2026-03-01T12:00Z\nbob,intro,seen,,2026-03-01T12:00Z\n')

    assert bad == [(4, "unknown event_type", "bob,intro,seen,,2026-03-01T12:00Z")]


@pytest.mark.parametrize("name", ["events.csv", "events.csv.gz"])
def test_bytes_that_are_no_text_and_fields_without_end_cost_only_their_rows(
    read: Callable[..., tuple[list[Good], Bad]], name: str
) -> None:
    good_line = b"ann,intro,view,,2026-03-01T12:00Z\n"
    monster = b"ann," + b"x" * 140_000 + b",view,,2026-03-01T12:00Z\n"

    good, bad = read(HEADER.encode() + good_line + b"a\xff\x00\n" + monster + good_line, name=name)

    assert sum(len(one.table) for one in good) == 2
    assert [reason for _, reason, _ in bad] == ["wrong number of columns", "unreadable"]


@pytest.mark.parametrize(
    ("format_", "text", "moment"),
    [
        ("iso", "2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("iso", "2026-03-01T10:20:30.5Z", datetime(2026, 3, 1, 10, 20, 30, 500_000, tzinfo=UTC)),
        ("iso", "2026-03-01 10:20:30-0500", datetime(2026, 3, 1, 15, 20, 30, tzinfo=UTC)),
        ("iso", "2026-02-30", None),
        ("unix", "1772360430", datetime(2026, 3, 1, 10, 20, 30, tzinfo=UTC)),
        ("unix", "1e300", None),
        ("unix", "nan", None),
        ("unix_ms", "1772360430500", datetime(2026, 3, 1, 10, 20, 30, 500_000, tzinfo=UTC)),
        ("year", "2019", datetime(2019, 1, 1, tzinfo=UTC)),
        ("%d/%m/%Y %H:%M", "01/03/2026 10:20", datetime(2026, 3, 1, 10, 20, tzinfo=UTC)),
    ],
)
def test_times_are_read_in_the_format_that_the_mapping_names(format_: str, text: str, moment: datetime | None) -> None:
    from jobs.imports.columns import times

    field = Field(columns=("t",), format=format_)

    assert pl.DataFrame({"t": [text]}).select(times(field)).item() == moment


def test_tags_are_split_stripped_and_each_named_once() -> None:
    from jobs.imports.columns import tags

    field = Field(columns=("a", "b"), join=", ", strip="[]'", separator=",")
    frame = pl.DataFrame({"a": ["['x', 'y y']", "[]", ""], "b": ["['y y', 'z']", "['w']", ""]})

    assert frame.select(tags(field)).to_series().to_list() == [["x", "y y", "z"], ["w"], []]


def test_further_events_follow_from_numbers_in_the_row(read: Callable[..., tuple[list[Good], Bad]]) -> None:
    (good,), bad = read(
        "user_id,item_id,watch_percentage,created_at,rating\n"
        "1,2,100,2020-01-01 00:00:00,10\n1,3,95,2020-01-02 00:00:00,3\n1,4,20,2020-01-03 00:00:00,2\n",
        mapping_of("mars").events[1],
    )

    assert bad == []
    assert good.table.column("value").to_pylist() == pytest.approx([1.0, 0.95, 0.2])
    assert good.also is not None
    assert good.also.column("event_type").to_pylist() == ["complete", "complete", "like"]
    assert good.also.column("value").null_count == 3


def test_contents_of_mars_become_contents_of_ours(tmp_path: Path) -> None:
    (tmp_path / "items_en.csv").write_text(
        "item_id,language,name,nb_views,description,created_at,Difficulty,Job,Software,Theme,duration,type\n"
        "510,en,What is it?,1.0,\"Two\nlines\",2016,Advanced,\"['Sales']\",['One'],\"['Share', 'One']\",42.0,webcast\n"
        "511,en,A case,1.0,,2017,,[],[],[],42.0,use_case\n"
    )
    contents = mapping_of("mars").contents
    assert contents is not None
    (block,) = read_blocks(tmp_path / "items_en.csv", [], lambda _: None)

    found = sieve(block)
    table = good_rows(contents, found, now=NOW).table

    assert found.bad == []
    assert table.select(["title", "type", "tags", "difficulty", "created_at"]).to_pylist() == [
        {
            "title": "What is it?",
            "type": "video",
            "tags": ["Share", "One", "Sales"],
            "difficulty": 5,
            "created_at": datetime(2016, 1, 1, tzinfo=UTC),
        },
        {
            "title": "A case",
            "type": "article",
            "tags": [],
            "difficulty": None,
            "created_at": datetime(2017, 1, 1, tzinfo=UTC),
        },
    ]


def test_parquet_is_read_like_csv(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user_id": ["ann", None],
            "content_id": ["a", "b"],
            "event_type": ["view"] * 2,
            "value": [0.5, None],
            "ts": [datetime(2026, 3, 1, tzinfo=UTC)] * 2,
        }
    )
    frame.write_parquet(tmp_path / "events.parquet")
    (block,) = read_blocks(tmp_path / "events.parquet", ["ts"], lambda _: None)

    found = sieve(block)
    good = good_rows(EVENTS, found, now=NOW)

    assert good.table.column("ts").to_pylist() == [datetime(2026, 3, 1, tzinfo=UTC)]
    assert [(line, reason) for line, reason, _ in found.bad] == [(2, "missing user_id")]


def test_a_file_is_read_in_blocks_of_bounded_size(tmp_path: Path, read: Callable[..., tuple[list[Good], Bad]]) -> None:
    n = reading.BLOCK_ROWS + 7

    good, _ = read(HEADER + "".join(f"u{i},c,view,,2026-03-01T12:00Z\n" for i in range(n)), name="events.csv.gz")

    assert [len(one.table) for one in good] == [reading.BLOCK_ROWS, 7]


def test_a_missing_column_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("who,what\na,b\n")

    with pytest.raises(InvalidInput, match=r"no column 'user_id'; it has 'who', 'what'"):
        next(read_blocks(tmp_path / "events.csv", ["user_id"], lambda _: None))


def test_a_damaged_gz_is_invalid_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(HEADER.encode() * 1000)[:60])

    with pytest.raises(InvalidInput, match="damaged"):
        list(read_blocks(tmp_path / "events.csv.gz", [], lambda _: None))


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_brings_a_mapping_that_validates(format_: str) -> None:
    assert mapping_of(format_).events


def test_all_faults_of_a_mapping_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('[[events]]\nuser_id = "u"\nwho = "x"\n')

    with pytest.raises(InvalidInput) as caught:
        load_mapping(tmp_path / "m.toml")

    assert all(word in str(caught.value) for word in ("content_id", "event_type", "ts", "who"))


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        source_of(tmp_path / "none", "csv")
    with pytest.raises(NotFound, match=r"(users|items)_en\.csv"):
        source_of(tmp_path, "mars")
    with pytest.raises(InvalidInput, match="mars, movielens, csv, jsonl"):
        source_of(tmp_path, "xml")


_CELLS = st.text(max_size=6) | st.sampled_from(["ann", "view", "complete", "0.5", "2026-03-01T00:00Z", "1e999", "nan"])


@settings(deadline=None)
@given(st.lists(st.tuples(_CELLS, _CELLS, _CELLS, _CELLS, _CELLS), min_size=1, max_size=8))
def test_every_row_is_either_good_or_bad_whatever_it_says(said: list[tuple[str, ...]]) -> None:
    header = HEADER.strip().split(",")
    frame = pl.DataFrame(said, schema=dict.fromkeys(header, pl.String), orient="row")
    found = sieve(Block(frame, range(2, 2 + len(said)), [",".join(row) for row in said]))

    good = good_rows(EVENTS, found, now=NOW)

    assert sorted([*(row + 2 for row in good.rows), *(line for line, _, _ in found.bad)]) == list(
        range(2, 2 + len(said))
    )
    assert isinstance(good.table, pa.Table)
