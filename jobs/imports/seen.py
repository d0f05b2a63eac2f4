"""Which ids an import has had already: on disk, so that memory stays the same however long the file is."""

import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import orjson


class Seen:
    """A context manager; what it keeps is gone with it."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)  # "": a temporary file, removed when closed
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384;"
            "CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def add(self, kind: str, ids: Sequence[str]) -> list[bool]:
        """Whether each id is new among its kind: came neither before nor earlier in this batch."""
        keys = [f"{kind} {one}" for one in ids]
        insert = "INSERT OR IGNORE INTO seen SELECT value FROM json_each(?) ORDER BY value RETURNING id"
        self._database.execute("BEGIN")
        new = {inserted for (inserted,) in self._database.execute(insert, [orjson.dumps(keys)])}
        self._database.execute("COMMIT")
        fresh: list[bool] = []
        for one in keys:
            fresh.append(one in new)
            new.discard(one)
        return fresh
