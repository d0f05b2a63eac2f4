"""A backup says what it is, and a spoilt one is found out; its format lasts."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from app.adapters.postgres.migrations import known_revisions
from app.errors import Conflict, LearnrecError, NotFound
from cluster.backup.copying import store_of
from cluster.backup.manifest import MANIFEST, Manifest
from cluster.backup.save import check

GOLDEN = Path(__file__).parent / "golden" / "backup-v1.json"
FILES = {"postgres/users.csv.zst": b"a table", "objects/learning-events/part.parquet": b"events"}


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    hashes = {name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in FILES.items()}
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(data)
    said = json.loads(GOLDEN.read_text()) | {"files": hashes, "revision": known_revisions()[0]}
    (tmp_path / MANIFEST).write_text(json.dumps(said))
    return tmp_path


def test_a_manifest_of_version_1_is_read_and_written() -> None:
    assert Manifest.model_validate_json(GOLDEN.read_text()).model_dump_json(indent=1) + "\n" == GOLDEN.read_text()


def test_a_whole_backup_is_told_by_its_bytes(backup: Path) -> None:
    heard: list[int] = []
    assert set(check(store_of(str(backup)), lambda _part, done, _total: heard.append(done)).files) == set(FILES)
    assert max(heard) == sum(map(len, FILES.values()))


def told(folder: Path, **changes: object) -> None:
    said = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**said, **changes}))


WRONG: dict[str, tuple[Callable[[Path], object], type[LearnrecError], str]] = {
    "a changed byte": (lambda at: (at / "postgres/users.csv.zst").write_bytes(b"a tablE"), Conflict, "was changed"),
    "a file cut short": (lambda at: (at / "postgres/users.csv.zst").write_bytes(b"a tab"), Conflict, "was changed"),
    "a missing file": (lambda at: (at / "postgres/users.csv.zst").unlink(), Conflict, "is missing"),
    "no manifest": (lambda at: (at / MANIFEST).unlink(), NotFound, "holds no backup"),
    "half a manifest": (lambda at: (at / MANIFEST).write_text("{"), Conflict, "no JSON"),
    "another's manifest": (lambda at: (at / MANIFEST).write_text("[]"), Conflict, "not one of ours"),
    "a newer format": (lambda at: told(at, version=2), Conflict, "format 2"),
    "a newer schema": (lambda at: told(at, revision="9999"), Conflict, "schema 9999"),
    "a path that leads out": (
        lambda at: told(at, files={"objects/../../x": {"bytes": 0, "sha256": ""}}),
        Conflict,
        "leads out",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said(what: str, backup: Path) -> None:
    spoil, error, said = WRONG[what]
    spoil(backup)
    with pytest.raises(error, match=said):
        check(store_of(str(backup)), lambda *_: None)
