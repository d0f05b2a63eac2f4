"""Files that somebody may have written over: releases that were changed, and formats that run what is in them."""

import ast
import shutil
from pathlib import Path

import pytest

from app.adapters.object_store import ObjectStore
from app.adapters.release_files import RELEASES, fetch_release, verify_release
from app.domain.releases import MANIFEST
from app.errors import Conflict
from app.models.release import load_release
from tests.serving.tiny import FIRST, Trained
from tests.unit.test_structure import REPOSITORY, files, name, tree

RUNS_WHAT_IT_READS = {
    "pickle": {"load", "loads", "Unpickler"},
    "cloudpickle": {"load", "loads"},
    "dill": {"load", "loads"},
    "marshal": {"load", "loads"},
    "shelve": {"open"},
    "joblib": {"load"},
    "torch": {"load"},
    "yaml": {"load", "load_all", "unsafe_load", "full_load"},
    "pd": {"read_pickle"},
    "pandas": {"read_pickle"},
}
ALLOWED = {("jobs/batch_recommend.py", "pickle.loads")}  # an error of one of the job's own actors, in its own memory
DATA = {".pb", ".index", ".data-00000-of-00001", ".ubj", ".json", ".npy", ".npz", ".parquet", ".faiss", ".txt"}
"""Suffixes of SavedModel, XGBoost's UBJ, JSON, arrays without pickles, Parquet and FAISS."""


def called(path: Path) -> set[str]:
    """`module.function` of every such call, and built-ins that run text."""
    found = set[str]()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in RUNS_WHAT_IT_READS.get(node.value.id, ()):
                found.add(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
            found.add(node.func.id)
        elif isinstance(node, ast.ImportFrom) and node.module in RUNS_WHAT_IT_READS:
            found |= {f"{node.module}.{one.name}" for one in node.names} & {
                f"{node.module}.{function}" for function in RUNS_WHAT_IT_READS[node.module]
            }
    return found


def test_nothing_that_runs_what_is_in_it_is_read_from_where_somebody_else_writes() -> None:
    found = {(name(path), call) for path in files("app", "jobs", "cluster") for call in called(path)}
    assert found == ALLOWED


def test_arrays_are_read_without_pickles() -> None:
    loads = [
        (name(path), node.lineno, {one.arg: ast.unparse(one.value) for one in node.keywords})
        for path in files("app", "jobs", "cluster")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "np.load"
    ]
    assert loads, "there are some"
    assert [each for each in loads if each[2].get("allow_pickle", "False") != "False"] == []


def test_the_search_would_find_what_it_looks_for(tmp_path: Path) -> None:
    (bad := tmp_path / "bad.py").write_text("from pickle import loads\nimport joblib\njoblib.load('x')\neval('1')\n")
    assert called(bad) == {"pickle.loads", "joblib.load", "eval"}
    assert (REPOSITORY / "app").is_dir()


@pytest.fixture(scope="module")
def published(releases: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory) -> tuple[ObjectStore, Path]:
    """A store with a real release, and the folder where it lies."""
    folder = tmp_path_factory.mktemp("objects")
    store = ObjectStore(folder.as_uri())
    store.upload(releases[FIRST].folder, f"{RELEASES}/{FIRST}")
    return store, folder / RELEASES / FIRST


def test_a_release_holds_only_files_that_are_data(published: tuple[ObjectStore, Path]) -> None:
    _, release = published
    held = [path for path in release.rglob("*") if path.is_file()]
    assert {path.suffix for path in held} <= DATA
    for path in held:
        assert not path.read_bytes().startswith((b"\x80\x04\x95", b"\x80\x05\x95")), f"{path} is a pickle"


def test_a_changed_byte_in_any_file_of_a_release_is_noticed(
    published: tuple[ObjectStore, Path], tmp_path: Path
) -> None:
    store, release = published
    names = sorted(path.relative_to(release) for path in release.rglob("*") if path.is_file())
    assert len(names) > 20
    for number, one in enumerate(relative for relative in names if relative.name != MANIFEST):
        whole = (release / one).read_bytes()
        damaged = bytearray(whole)
        damaged[len(damaged) // 2] ^= 1
        (release / one).write_bytes(damaged)
        with pytest.raises(Conflict, match="differ from the manifest"):
            fetch_release(store, FIRST, tmp_path / str(number))
        assert not [path for path in (tmp_path / str(number)).iterdir() if path.is_dir()]
        (release / one).write_bytes(whole)
    assert load_release(fetch_release(store, FIRST, tmp_path / "whole"))


@pytest.mark.parametrize("added", ["towers/assets.extra/run.py", "ranker/ranker.json.pkl", "../outside", "link"])
def test_a_file_that_nobody_listed_is_noticed(releases: dict[str, Trained], tmp_path: Path, added: str) -> None:
    shutil.copytree(releases[FIRST].folder, folder := tmp_path / "release")
    verify_release(folder)
    if added == "link":
        (folder / "ranker" / "link").symlink_to("/etc/hostname")
    elif added.startswith(".."):
        manifest = releases[FIRST].manifest.model_copy(update={"files": {"../outside": "0" * 64}})
        (folder / MANIFEST).write_text(manifest.model_dump_json())
    else:
        (folder / added).parent.mkdir(parents=True, exist_ok=True)
        (folder / added).write_text("import os")
    with pytest.raises(Conflict, match="differ from the manifest"):
        verify_release(folder)
