"""Files from one store to another, every byte hashed on its way."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa

from app.adapters.object_store import ObjectStore
from app.errors import Conflict, NotFound
from cluster.backup.manifest import File, Manifest

BLOCK = 8 * 2**20
THREADS = 8

Tell = Callable[[str, int, int], None]
"""Hears (what is being copied, bytes done, bytes in all, 0 where nobody knows)."""


def store_of(target: str) -> ObjectStore:
    """Of a folder, by its path, or of anything that pyarrow.fs opens, by its URI."""
    return ObjectStore(target if "://" in target else Path(target).expanduser().resolve().as_uri())


class Hashed:
    """A sink that knows what went through it; pyarrow takes it for a file."""

    def __init__(self, sink: Any) -> None:
        self._sink, self._digest, self._bytes = sink, sha256(), 0
        self.closed = False

    def write(self, block: Any) -> int:
        data = bytes(block)
        self._digest.update(data)
        self._bytes += len(data)
        self._sink.write(data)
        return len(data)

    def flush(self) -> None:
        """What is beneath has its own time."""

    def close(self) -> None:
        self.closed = True

    @property
    def file(self) -> File:
        return File(bytes=self._bytes, sha256=self._digest.hexdigest())


@contextmanager
def hashed(store: ObjectStore, path: str) -> Iterator[Hashed]:
    """A new file; ask for `file` afterwards."""
    with store.writing(path) as stream:
        yield Hashed(stream)


def copy_files(
    source: ObjectStore, target: ObjectStore, names: Mapping[str, str], *, on_bytes: Callable[[int], None]
) -> dict[str, File]:
    """Each of `names`, source path -> target path; by target path. What is gone meanwhile is left out."""

    def copy(pair: tuple[str, str]) -> tuple[str, File] | None:
        path, to = pair
        try:
            with source.reading(path) as read, hashed(target, to) as written:
                while block := read.read(BLOCK):
                    written.write(block)
        except NotFound:
            return None
        on_bytes(written.file.bytes)
        return to, written.file

    with ThreadPoolExecutor(THREADS) as threads:
        return dict(filter(None, threads.map(copy, names.items())))


def verify(backup: ObjectStore, manifest: Manifest, tell: Tell) -> None:
    """Read every file. Raises Conflict with all that are missing, cut off or changed."""
    progress = Progress(tell, "verified", manifest.num_bytes)

    def check(pair: tuple[str, File]) -> str | None:
        path, said = pair
        digest, size = sha256(), 0
        try:
            with backup.reading(path) as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
                    size += len(block)
        except NotFound:
            return f"{path} is missing"
        progress.add(size)
        return None if File(bytes=size, sha256=digest.hexdigest()) == said else f"{path} was changed"

    with ThreadPoolExecutor(THREADS) as threads:
        wrong = [fault for fault in threads.map(check, manifest.files.items()) if fault]
    if wrong:
        more = f" and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
        raise Conflict(f"the backup is not whole: {', '.join(wrong[:5])}{more}; take another one. Nothing was touched")


class Progress:
    """Bytes of one part, from several threads."""

    def __init__(self, tell: Tell, part: str, total: int) -> None:
        self._tell, self._part, self._total, self._done = tell, part, total, 0
        tell(part, 0, total)

    def add(self, num_bytes: int) -> None:
        self._done += num_bytes
        self._tell(self._part, self._done, self._total)


def compressed(sink: Hashed) -> Any:
    """A stream into `sink`; close it to have all of it there."""
    return pa.CompressedOutputStream(pa.PythonFile(sink, mode="w"), "zstd")


def uncompressed(stream: Any) -> Any:
    return pa.CompressedInputStream(stream, "zstd")


def joined(folder: str, names: Iterable[str]) -> list[str]:
    return [f"{folder}/{name}" for name in names]
