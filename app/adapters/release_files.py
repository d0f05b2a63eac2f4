"""A release on this node: downloaded once, verified, and never seen half-done."""

import shutil
from hashlib import file_digest
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from app.adapters.object_store import ObjectStore
from app.domain.releases import MANIFEST, Manifest
from app.errors import Conflict, NotFound, Unavailable

RELEASES = "learning-models/releases"
LOCK_TIMEOUT_S = 300.0


def fetch_release(store: ObjectStore, release_id: str, folder: Path) -> Path:
    """`folder/release_id`, from the object store if it is not there yet; one download a node, the others wait.

    Raises NotFound: the store has no such release. Conflict: a file is not what the manifest says it is.
    Unavailable: the store does not answer, or another download takes too long.
    """
    if Path(release_id).name != release_id:
        raise NotFound(f"no release {release_id!r}: a release id is one plain name")
    target = folder / release_id
    if (target / MANIFEST).exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f".{release_id}.lock", timeout=LOCK_TIMEOUT_S):
            if not (target / MANIFEST).exists():
                _download(store, release_id, target)
    except Timeout as exc:
        raise Unavailable("object store", f"another download of release {release_id} does not end") from exc
    return target


def _download(store: ObjectStore, release_id: str, target: Path) -> None:
    partial = target.with_name(f".{release_id}.{uuid4().hex}")
    try:
        store.download(f"{RELEASES}/{release_id}", partial)
        verify_release(partial)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def verify_release(folder: Path) -> Manifest:
    """The manifest, once every file it names has been found to be what it says, and no other beside them.

    Raises NotFound: no manifest. Conflict: a file is missing, changed or added.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise NotFound(f"{folder} holds no release: no {MANIFEST}; publish one with `learnrec job run publish_release`")
    manifest = Manifest.model_validate_json(path.read_bytes())
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    wrong = there - manifest.files.keys() - {MANIFEST}  # a library may pick up what lies beside: a SavedModel's assets
    wrong |= {name for name, digest in manifest.files.items() if _digest(folder / name) != digest}
    if wrong:
        raise Conflict(
            f"release {manifest.release_id} is damaged: {', '.join(sorted(wrong)[:5])} differ from the manifest; "
            "publish it again, or promote another"
        )
    return manifest


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
