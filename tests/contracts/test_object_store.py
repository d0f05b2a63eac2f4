"""Objects appear whole or not at all, and come back as they were."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from app.adapters.object_store import PARTIAL, ObjectStore
from app.adapters.parquet import read_tables, write_tables
from app.errors import NotFound, Unavailable
from tests import rows


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    on_s3 = request.param == "s3"
    return ObjectStore(request.getfixturevalue("s3_store") if on_s3 else (tmp_path / "objects").as_uri())


def test_what_is_written_is_read_and_replaced(store: ObjectStore) -> None:
    store.write("bucket/a/b.bin", b"one")
    store.write("bucket/a/b.bin", b"two")

    assert store.read("bucket/a/b.bin") == b"two"
    assert list(store.files("bucket")) == ["a/b.bin"]


def test_what_is_not_there_is_not_found(store: ObjectStore) -> None:
    with pytest.raises(NotFound):
        store.read("bucket/none")
    assert store.files("bucket") == {}
    assert not store.exists("bucket/none")


def test_tables_are_written_together_and_read_in_order(store: ObjectStore) -> None:
    tables = {f"bucket/day={i}/part.parquet": rows.events([f"u{i}"] * 3, list("xyz")) for i in range(20)}

    write_tables(store, tables)

    assert read_tables(store, list(tables)).equals(pa.concat_tables(tables.values()))


def test_what_a_killed_writer_left_is_not_seen_and_goes(tmp_path: Path) -> None:
    store, now = ObjectStore((tmp_path / "objects").as_uri()), datetime.now(UTC)
    store.write("bucket/whole", b"")
    assert not list((tmp_path / "objects" / PARTIAL).iterdir())
    (tmp_path / "objects" / PARTIAL / "half").write_bytes(b"ha")

    assert list(store.files("bucket")) == ["whole"]
    assert store.sweep(before=now - timedelta(days=1)) == 0
    assert store.sweep(before=now + timedelta(days=1)) == 1
    assert not list((tmp_path / "objects" / PARTIAL).iterdir())


def test_a_write_that_cannot_happen_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file, not a folder")

    with pytest.raises(Unavailable, match="object store"):
        ObjectStore((tmp_path / "objects").as_uri()).write("bucket/a", b"")


def test_a_folder_goes_up_and_comes_down(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "made" / "deep").mkdir(parents=True)
    (tmp_path / "made" / "deep" / "file").write_bytes(b"content")

    store.upload(tmp_path / "made", "bucket/run")
    store.download("bucket/run", tmp_path / "copy")

    assert (tmp_path / "copy" / "deep" / "file").read_bytes() == b"content"


def test_streams_carry_bytes_as_they_are_whatever_the_name_says(store: ObjectStore) -> None:
    with store.writing("bucket/deep/table.csv.zst") as stream:
        stream.write(b"compressed by somebody else")
    assert store.files("bucket") == {"deep/table.csv.zst": len(b"compressed by somebody else")}
    with store.reading("bucket/deep/table.csv.zst") as stream:
        assert stream.read() == b"compressed by somebody else"
    with pytest.raises(NotFound), store.reading("bucket/none"):
        pass
    for _ in range(2):
        store.delete("bucket/deep/table.csv.zst")
    assert not store.exists("bucket/deep/table.csv.zst")


_HALF = """
import sys
from app.adapters.object_store import ObjectStore

store = ObjectStore(sys.argv[1])
stream = store.filesystem.open_output_stream(store.path("bucket/half/file"))
for _ in range(3):
    stream.write(b"x" * 6 * 2**20)  # a part of an upload is at least 5 MiB
print("half of it is sent", flush=True)
sys.stdin.read()
"""


def test_an_upload_that_is_cut_off_leaves_no_half_file_to_be_seen(s3_store: str) -> None:
    """Uploads of many parts: what is sent is on the endpoint, and nobody sees it before the last part."""
    store = ObjectStore(s3_store)
    store.write("bucket/whole", b"")
    sender = subprocess.Popen([sys.executable, "-c", _HALF, s3_store], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with sender:
        assert sender.stdout is not None
        assert sender.stdout.readline() == b"half of it is sent\n"
        assert list(store.files("bucket")) == ["whole"]
        sender.kill()
    assert list(store.files("bucket")) == ["whole"]
    with pytest.raises(NotFound):
        store.read("bucket/half/file")
    store.write("bucket/half/file", b"again")
    assert store.read("bucket/half/file") == b"again"
