"""Objects appear whole or not at all, and come back as they were."""

from pathlib import Path

import pyarrow as pa
import pytest

from app.adapters.object_store import ObjectStore
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
