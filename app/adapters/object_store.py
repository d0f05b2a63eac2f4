"""Files and folders in the object store, a local folder or S3, through pyarrow.fs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as fs

from app.errors import NotFound, Unavailable


class ObjectStore:
    """Paths are relative to the store's URI. All raise Unavailable; reading raises NotFound for what is not there."""

    def __init__(self, uri: str) -> None:
        self.uri_root = uri.rstrip("/")
        with _translated(uri):
            self.filesystem, self._root = fs.FileSystem.from_uri(uri)

    def path(self, relative: str) -> str:
        """The path that `filesystem` takes."""
        return f"{self._root}/{relative}"

    def uri(self, relative: str) -> str:
        return f"{self.uri_root}/{relative}"

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
        folder, _, name = target.rpartition("/")
        # An object of S3 is whole or not there by itself; two writers of a local file must not share a half.
        written = f"{folder}/.{name}.{uuid4().hex}" if local else target
        with _translated(relative):
            if local:
                self.filesystem.create_dir(folder)
            with self.filesystem.open_output_stream(written) as stream:
                stream.write(data)
            if local:
                self.filesystem.move(written, target)

    def write_json(self, relative: str, value: Any) -> None:
        self.write(relative, json.dumps(value, indent=1, ensure_ascii=False).encode())

    def upload(self, folder: Path, relative: str) -> None:
        """Copy a local folder to `relative`."""
        self._copy(folder, fs.LocalFileSystem(), to=self.path(relative), target=self.filesystem)

    def download(self, relative: str, folder: Path) -> None:
        """Copy the folder `relative` to a local one."""
        if not self.exists(relative):
            raise NotFound(f"the object store has no {self.uri(relative)}")
        self._copy(self.path(relative), self.filesystem, to=str(folder), target=fs.LocalFileSystem())

    def remove(self, folder: str) -> None:
        """Remove a folder with all that is in it; nothing happens where there is none."""
        if self.exists(folder):
            with _translated(folder):
                self.filesystem.delete_dir(self.path(folder))

    def _copy(self, folder: Path | str, source: fs.FileSystem, *, to: str, target: fs.FileSystem) -> None:
        with _translated(str(folder)):
            target.create_dir(to)
            fs.copy_files(str(folder), to, source_filesystem=source, destination_filesystem=target)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise NotFound(f"the object store has no {what}") from exc
    except (OSError, pa.ArrowInvalid) as exc:
        raise Unavailable("object store", f"{what}: {exc}") from exc
