"""A spool: entries that the log does not take now, on this machine's disk until it does.

SQLite with a write-ahead log that is synced at every commit: what `put` has taken survives the process and the power.
Several processes may share the file; should two of them drain it at once, entries come twice, and are one event.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import Unavailable

_PAGE = 4096
_BUSY_S = 5.0
_COLUMNS = "id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, value BLOB NOT NULL"


@dataclass(frozen=True, slots=True)
class Spooled:
    """The oldest entries; `last` is what `drop` takes when they are in the log."""

    values: tuple[bytes, ...]
    keys: tuple[str, ...]
    last: int


class Spool:
    """At most `max_bytes` on the disk. Any thread may call. All raise Unavailable where the disk fails or is full."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False, isolation_level=None)
            bound = f"max_page_count = {max(max_bytes // _PAGE, 4)}"
            for setting in (f"page_size = {_PAGE}", "journal_mode = WAL", "synchronous = FULL", bound):
                self._connection.execute(f"PRAGMA {setting}")
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS entries ({_COLUMNS})")
        self._path, self._lock = path, threading.Lock()

    def close(self) -> None:
        self._connection.close()

    def put(self, values: Sequence[bytes], *, keys: Sequence[str]) -> None:
        """All of them or none; on the disk when it returns. Raises Unavailable where there is no room."""
        with self._lock, _translated(self._path), self._transaction():
            rows = zip(keys, values, strict=True)
            self._connection.executemany("INSERT INTO entries (key, value) VALUES (?, ?)", rows)

    def oldest(self, limit: int) -> Spooled | None:
        """Up to `limit` entries in the order in which they came, or None."""
        with self._lock, _translated(self._path):
            query = "SELECT id, key, value FROM entries ORDER BY id LIMIT ?"
            rows = self._connection.execute(query, [limit]).fetchall()
        if not rows:
            return None
        ids, keys, values = zip(*rows, strict=True)
        return Spooled(values, keys, ids[-1])

    def drop(self, last: int) -> None:
        """Forget the entries up to and with `last`."""
        with self._lock, _translated(self._path), self._transaction():
            self._connection.execute("DELETE FROM entries WHERE id <= ?", [last])

    def __len__(self) -> int:
        """How many wait: ids are given and dropped in order."""
        with self._lock, _translated(self._path):
            (count,) = self._connection.execute("SELECT coalesce(max(id) - min(id) + 1, 0) FROM entries").fetchone()
        return int(count)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise Unavailable("spool", f"{path}: {exc}") from exc
