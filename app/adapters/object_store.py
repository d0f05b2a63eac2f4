"""Files and folders in the object store, a local folder or S3, through pyarrow.fs."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as fs

from app.errors import NotFound, Unavailable

_BLOCK = 8 * 2**20
PARTIAL = ".partial"
"""Folder of files that are being written, where the store is a local one."""


class ObjectStore:
    """Paths are relative to the store's URI. All raise Unavailable; reading raises NotFound for what is not there.

    A folder's is `file:///path`, a bucket's `s3://bucket/prefix?endpoint_override=host:port&scheme=http&region=…`,
    paths instead of virtual hosts being the rule. Credentials come from where AWS's own clients find them, never from
    the URI, which is shown: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's role.
    """

    def __init__(self, uri: str) -> None:
        self.uri_root = uri
        self._shown = uri.partition("?")[0].rstrip("/")
        with _translated(self._shown):
            self.filesystem, root = fs.FileSystem.from_uri(_in_one_request(uri))
        self._root = root.rstrip("/")

    def path(self, relative: str) -> str:
        """The path that `filesystem` takes."""
        return f"{self._root}/{relative}"

    def uri(self, relative: str) -> str:
        return f"{self._shown}/{relative}"

    def exists(self, relative: str) -> bool:
        with _translated(relative):
            return self.filesystem.get_file_info(self.path(relative)).type != fs.FileType.NotFound

    def files(self, folder: str) -> dict[str, int]:
        """Size in bytes of every file below `folder`, by path relative to it, sorted."""
        base = self.path(folder)
        with _translated(folder):
            found = self.filesystem.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        sizes = {f.path[len(base) :].lstrip("/"): int(f.size) for f in found if f.type == fs.FileType.File}
        return dict(sorted(sizes.items()))

    def read(self, relative: str) -> bytes:
        with _translated(relative), self.filesystem.open_input_stream(self.path(relative)) as stream:
            return stream.readall()

    def read_json(self, relative: str) -> Any:
        return json.loads(self.read(relative))

    def write(self, relative: str, data: bytes) -> None:
        """The file appears whole, or not at all."""
        target = self.path(relative)
        local = isinstance(self.filesystem, fs.LocalFileSystem)
        # An object of S3 is whole or not there by itself; half a local file must be where nobody looks for files.
        written = self.path(f"{PARTIAL}/{uuid4().hex}") if local else target
        with _translated(relative):
            if local:
                for folder in (written, target):
                    self.filesystem.create_dir(folder.rpartition("/")[0])
            with self.filesystem.open_output_stream(written) as stream:
                stream.write(data)
            if local:
                self.filesystem.move(written, target)

    def write_json(self, relative: str, value: Any) -> None:
        self.write(relative, json.dumps(value, indent=1, ensure_ascii=False).encode())

    @contextmanager
    def reading(self, relative: str) -> Iterator[pa.NativeFile]:
        """The file as a stream, for those that are too large for `read`; its name decompresses nothing."""
        path = self.path(relative)
        with _translated(relative), self.filesystem.open_input_stream(path, compression=None) as stream:
            yield stream

    @contextmanager
    def writing(self, relative: str) -> Iterator[pa.NativeFile]:
        """The same to write: half of it may stay where the writer fails, so say elsewhere that it is whole."""
        target = self.path(relative)
        with _translated(relative):
            if isinstance(self.filesystem, fs.LocalFileSystem):
                self.filesystem.create_dir(target.rpartition("/")[0])
            with self.filesystem.open_output_stream(target, compression=None) as stream:
                yield stream

    def delete(self, relative: str) -> None:
        """Remove one file; nothing happens where there is none."""
        with suppress(NotFound), _translated(relative):
            try:
                self.filesystem.delete_file(self.path(relative))
            except OSError:  # pyarrow then makes an empty object for the folder, which not every store takes
                if self.exists(relative):
                    raise

    def upload(self, folder: Path, relative: str) -> None:
        """Copy a local folder to `relative`."""
        local = fs.LocalFileSystem()
        with _translated(relative):
            for path in folder.rglob("*"):
                if path.is_file():
                    target = self.path(f"{relative}/{path.relative_to(folder).as_posix()}")
                    _copy(str(path), local, to=target, target=self.filesystem)

    def download(self, relative: str, folder: Path) -> None:
        """Copy the folder `relative` to a local one."""
        names = self.files(relative)
        if not names:
            raise NotFound(f"the object store has no {self.uri(relative)}")
        with _translated(relative):
            for name in names:
                path = self.path(f"{relative}/{name}")
                _copy(path, self.filesystem, to=str(folder / name), target=fs.LocalFileSystem())

    def sweep(self, *, before: datetime) -> int:
        """Remove what writers left that were killed before then; returns how many files that were."""
        with _translated(PARTIAL):
            found = self.filesystem.get_file_info(fs.FileSelector(self.path(PARTIAL), allow_not_found=True))
            left = [file.path for file in found if file.mtime < before]
            for path in left:
                self.filesystem.delete_file(path)
        return len(left)

    def remove(self, folder: str) -> None:
        """Remove a folder with all that is in it; nothing happens where there is none."""
        if self.exists(folder):
            with _translated(folder):
                self.filesystem.delete_dir(self.path(folder))


def _in_one_request(uri: str) -> str:
    """On S3, what is not larger than one part goes up in one request instead of three."""
    if not uri.startswith("s3://") or "allow_delayed_open=" in uri:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}allow_delayed_open=true"


def _copy(path: str, source: fs.FileSystem, *, to: str, target: fs.FileSystem) -> None:
    """One file; pyarrow's own copy of folders makes empty objects for them, which not every store takes."""
    if isinstance(target, fs.LocalFileSystem):
        Path(to).parent.mkdir(parents=True, exist_ok=True)
    with source.open_input_stream(path) as read, target.open_output_stream(to) as write:
        shutil.copyfileobj(read, write, _BLOCK)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise NotFound(f"the object store has no {what}") from exc
    except (OSError, pa.ArrowInvalid) as exc:
        raise Unavailable("object store", f"{what}: {exc}") from exc
