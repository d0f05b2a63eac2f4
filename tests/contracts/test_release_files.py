"""A release on its way from the object store to a node."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from app.adapters.object_store import ObjectStore
from app.adapters.release_files import RELEASES, fetch_release, verify_release
from app.domain.releases import MANIFEST
from app.errors import Conflict, LearnrecError, NotFound
from tests.released import manifest

FILES = {"items/embeddings.npy": b"\x00" * 10_000, "ranker/ranker.ubj": b"trees"}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    """Holds release r1."""
    source = tmp_path / "source"
    for name, data in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    made = manifest(files={name: sha256(data).hexdigest() for name, data in FILES.items()})
    (source / MANIFEST).write_text(made.model_dump_json())
    objects = ObjectStore((tmp_path / "objects").as_uri())
    objects.upload(source, f"{RELEASES}/r1")
    return objects


def stored(tmp_path: Path) -> Path:
    return tmp_path / "objects" / RELEASES / "r1"


def test_a_release_arrives_whole(store: ObjectStore, tmp_path: Path) -> None:
    folder = fetch_release(store, "r1", tmp_path / "node")
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert verify_release(folder).release_id == "r1"


def test_what_is_there_is_not_fetched_again(store: ObjectStore, tmp_path: Path) -> None:
    folder = fetch_release(store, "r1", tmp_path / "node")
    for path in stored(tmp_path).rglob("*.*"):
        path.unlink()
    assert fetch_release(store, "r1", tmp_path / "node") == folder


def test_many_replicas_of_one_node_fetch_it_once(store: ObjectStore, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: fetch_release(store, "r1", tmp_path / "node"), range(8)))
    assert folders == {tmp_path / "node" / "r1"}
    assert [path.name for path in (tmp_path / "node").iterdir() if path.is_dir()] == ["r1"]


def change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [change, Path.unlink], ids=["a changed byte", "a missing file"])
@pytest.mark.parametrize("name", sorted(FILES))
def test_a_damaged_release_is_refused_and_leaves_nothing(
    store: ObjectStore, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(stored(tmp_path) / name)
    with pytest.raises(Conflict, match=name):
        fetch_release(store, "r1", tmp_path / "node")
    assert not [path for path in (tmp_path / "node").iterdir() if path.is_dir()]


@pytest.mark.parametrize("release_id", ["r2", "../r1", "a/b", ""])
def test_a_release_that_does_not_exist_is_not_found(store: ObjectStore, tmp_path: Path, release_id: str) -> None:
    with pytest.raises(NotFound):
        fetch_release(store, release_id, tmp_path / "node")


def test_a_release_that_was_never_finished_is_none(store: ObjectStore, tmp_path: Path) -> None:
    (stored(tmp_path) / MANIFEST).unlink()
    with pytest.raises(LearnrecError, match="holds no release"):
        fetch_release(store, "r1", tmp_path / "node")
