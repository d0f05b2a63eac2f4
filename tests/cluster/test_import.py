"""Whole imports on real engines: what goes in, what stays out, and that doing it again changes nothing."""

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from app.adapters import logs
from app.adapters.event_log import EventLog
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.domain.ids import canonical_id
from app.errors import InvalidInput
from app.settings import Settings, child_environment
from jobs.imports.run import Imported, run_import, source_of
from jobs.ingest_events import Spec, run
from jobs.world.config import WorldConfig
from jobs.world.export import load_world, write_files
from jobs.world.world import World, make_world
from tests import rows


@dataclass(frozen=True)
class Stack:
    settings: Settings
    warehouse: PostgresWarehouse
    log: EventLog
    rejects: Path

    def take(self, path: Path, format_: str, mapping: Path | None = None) -> Imported:
        source = source_of(path, format_, mapping)
        return run_import(source, warehouse=self.warehouse, log=self.log, rejects=self.rejects)

    def rejected(self) -> list[tuple[str, int, str]]:
        with self.rejects.open() as file:
            return [(row["file"], int(row["line"]), row["reason"]) for row in csv.DictReader(file)]


@pytest.fixture
def stack(clean_postgres: str, clean_redis: str, tmp_path: Path) -> Iterator[Stack]:
    settings = Settings(
        var_dir=tmp_path / "var",
        postgres_url=clean_postgres,
        redis_url=clean_redis,
    )
    with PostgresWarehouse(clean_postgres) as warehouse, logs.event_log(settings) as log:
        yield Stack(settings, warehouse, log, tmp_path / "rejects.csv")


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(WorldConfig(num_learners=60, num_contents=60, end=datetime(2026, 11, 1, tzinfo=UTC)), seed=3)


def test_mars_goes_in_whole_and_again_changes_nothing(stack: Stack, shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("mars")

    first = stack.take(folder, "mars")
    stored = run(Spec(), stack.settings).metrics
    second = stack.take(folder, "mars")
    again = run(Spec(), stack.settings).metrics

    assert (first.users, first.contents) == (9_902, 1_167)
    assert (
        first.events == stored["events_stored"] == 21_908 - 355 + 3_659 + 2_758 + 2_922 - 5
    )  # five views in both files
    assert first.rejected == {"duplicate": 360}
    assert (second.events, second.events_stored_before) == (0, first.events)
    assert again["entries"] == 0


def test_movielens_goes_in_in_its_own_layout(stack: Stack, shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    import gzip

    folder = shared_data("ml-1m")
    for name in ("items.csv.gz", "users.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with gzip.open(folder / "interactions.csv.gz", "rb") as file:
        (tmp_path / "interactions.csv").write_bytes(b"".join(next(file) for _ in range(5_001)))

    done = stack.take(tmp_path, "movielens")

    assert (done.users, done.contents, done.events, dict(done.rejected)) == (6_040, 2_983, 5_000, {})
    users = stack.warehouse.read("users")
    assert (
        users.column("cohort_tag")[users.column("user_id").to_pylist().index(canonical_id("1"))].as_py() == "F Under 18"
    )


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_generated_world_comes_back_from_its_files(stack: Stack, world: World, tmp_path: Path, kind: str) -> None:
    write_files(world, tmp_path / "world", kind="csv" if kind == "csv" else "parquet")

    done = stack.take(tmp_path / "world", "csv")

    assert not done.rejected
    assert (
        stack.log.read(group="g", partition="0", limit=100_000)
        .events.sort_by("event_id")
        .equals(world.events.sort_by("event_id"))
    )
    assert stack.warehouse.read("contents").equals(world.contents.sort_by("content_id"))
    assert stack.warehouse.read("users").drop_columns(["opted_out"]).equals(world.users.sort_by("user_id"))


def test_a_world_that_is_loaded_twice_is_there_once(stack: Stack, world: World) -> None:
    sent = [_load(stack, world)]
    run(Spec(), stack.settings)
    sent.append(_load(stack, world))

    assert sent == [len(world.events), 0]


def test_bad_rows_are_counted_and_written_with_file_line_and_reason(stack: Stack, tmp_path: Path) -> None:
    stack.warehouse.put_contents(rows.contents(["intro"]))
    good = "ann,intro,view,0.5,2026-03-01T12:00:00Z"
    lines = [good, good, "ann,other,view,0.5,2026-03-01T12:00:00Z", ",intro,view,0.5,2026-03-01T12:00:00Z"]
    (tmp_path / "events.csv").write_text("user_id,content_id,event_type,value,ts\n" + "\n".join(lines))

    done = stack.take(tmp_path / "events.csv", "csv")

    assert done.events == 1
    assert stack.rejected() == [
        ("events.csv", 3, "duplicate"),
        ("events.csv", 4, "unknown content_id"),
        ("events.csv", 5, "missing user_id"),
    ]


def test_a_duplicate_in_a_later_block_is_found_too(stack: Stack, tmp_path: Path) -> None:
    stack.warehouse.put_contents(rows.contents(["c"]))
    many = [f"u{i},c,like,,2026-03-01T12:00:00Z" for i in range(21_000)]
    (tmp_path / "events.csv").write_text("user_id,content_id,event_type,value,ts\n" + "\n".join([*many, many[0]]))

    done = stack.take(tmp_path / "events.csv", "csv")

    assert done.events == 21_000
    assert stack.rejected() == [("events.csv", 21_002, "duplicate")]


def test_a_mapping_file_names_other_columns(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        '[contents]\nfile = "c.csv"\ncontent_id = "id"\ntitle = "name"\ntype = { default = "article" }\n'
        'created_at = { default = "2020-01-01" }\n'
        '[[events]]\nfile = "e.csv"\nuser_id = "who"\ncontent_id = "what"\nevent_type = { columns = ["did"], '
        'values = { watched = "view" } }\nts = { columns = ["when"], format = "unix" }\n'
    )
    (tmp_path / "c.csv").write_text("id,name\n1,First\n")
    (tmp_path / "e.csv").write_text("who,what,did,when\nann,1,watched,1772360430\n")

    done = stack.take(tmp_path, "csv", tmp_path / "m.toml")

    assert (done.contents, done.events, dict(done.rejected)) == (1, 1, {})


def test_json_lines_of_all_kinds_go_in(stack: Stack, tmp_path: Path) -> None:
    lines: list[object] = [
        {
            "content_id": "c",
            "title": "T",
            "type": "quiz",
            "tags": ["a", "b|c"],
            "difficulty": 2,
            "created_at": "2026-01-01",
        },
        {"user_id": "u", "cohort_tag": "x", "created_at": "2026-01-01"},
        {
            "event_id": "e-1",
            "user_id": "u",
            "content_id": "c",
            "event_type": "quiz_score",
            "value": 1,
            "ts": "2026-03-01T00:00Z",
        },
        {"user_id": "u", "content_id": "c", "event_type": "complete", "ts": "2026-03-01T00:00Z"},
        {"user_id": "u", "content_id": "c", "event_type": "complete", "ts": "2026-03-01T00:00Z", "mood": "good"},
        ["no", "object"],
    ]
    (tmp_path / "all.jsonl").write_bytes(b"\n".join([*map(orjson.dumps, lines), b"{broken"]))

    done = stack.take(tmp_path / "all.jsonl", "jsonl")

    assert (done.users, done.contents, done.events) == (1, 1, 2)
    assert stack.rejected() == [
        ("all.jsonl", 5, "unknown key mood"),
        ("all.jsonl", 6, "no JSON object"),
        ("all.jsonl", 7, "no JSON object"),
    ]
    assert stack.warehouse.read("contents").column("tags").to_pylist() == [["a", "b|c"]]
    assert (
        canonical_id("e-1") in stack.log.read(group="g", partition="0", limit=9).events.column("event_id").to_pylist()
    )


def test_a_file_without_one_good_row_is_invalid(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,content_id,event_type,value,ts\nann,c,view,,never\n")

    with pytest.raises(InvalidInput, match="not one row is good"):
        stack.take(tmp_path / "events.csv", "csv")


PEAK = """
import resource, sys
from pathlib import Path
from app.adapters import logs
from app.settings import load_settings
from jobs import stores
from jobs.imports.run import run_import, source_of
settings = load_settings()
with stores.warehouse(settings) as warehouse, logs.event_log(settings) as log:
    done = run_import(source_of(Path(sys.argv[1]), "csv"), warehouse=warehouse, log=log, rejects=Path(sys.argv[2]))
print(done.events, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform != "darwin" else 1024))
"""


def test_memory_does_not_grow_with_the_file(stack: Stack, tmp_path: Path) -> None:
    stack.warehouse.put_contents(rows.contents(["c"]))
    peaks = []
    for year, n in ((2020, 25_000), (2021, 100_000)):
        path = tmp_path / str(n) / "events.csv"
        path.parent.mkdir()
        first = datetime(year, 3, 1, tzinfo=UTC)
        lines = (f"user {i % 1000},c,view,0.5,{first + timedelta(seconds=i)}\n" for i in range(n))
        path.write_text("user_id,content_id,event_type,value,ts\n" + "".join(lines))
        found = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), str(tmp_path / "rejects.csv")],
            env=child_environment(stack.settings), capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        events, peak_kib = map(int, found.stdout.split())
        assert events == n
        peaks.append(peak_kib / 1024)

    assert peaks[1] - peaks[0] < 40  # MiB; the larger file's rows would take twice that


def _load(stack: Stack, world: World) -> int:
    return load_world(world, warehouse=stack.warehouse, log=stack.log, advance=lambda *_: None)
