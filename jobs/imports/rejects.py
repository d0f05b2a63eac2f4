"""Bad rows: counted by reason, and written to a file so that they can be looked at and mended."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

HEADER = ("file", "line", "reason", "raw")


class Rejects:
    """A context manager. The file appears with the first bad row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, file: str, rows: Sequence[tuple[int, str, str]]) -> None:
        """Rows as (line, reason, raw)."""
        if not rows:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w", encoding="utf-8", newline="")
            csv.writer(self._file).writerow(HEADER)
        csv.writer(self._file).writerows((file, *row) for row in rows)
        self.reasons.update(reason for _, reason, _ in rows)
