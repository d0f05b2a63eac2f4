"""Where the rows of an import come from: which files at a path hold which kinds of rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.errors import InvalidInput, NotFound
from jobs.imports.mapping import Mapping, Rows, columns_of
from jobs.imports.reading import Block, OnBytes, read_blocks, read_json_blocks

JSON_FILES = ("contents.jsonl", "users.jsonl", "events.jsonl")


@dataclass(frozen=True, slots=True)
class Piece:
    """A block, and what its rows are."""

    rows: Rows
    file: str
    block: Block


class Tables:
    """CSV and Parquet files, as a mapping names them. Raises NotFound where one is missing."""

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self._files = [(rows, file) for rows in mapping.rows if (file := _file_of(rows, path))]
        if not self._files:
            wanted = ", ".join(sorted({rows.file or "any" for rows in mapping.rows}))
            raise NotFound(f"{path} has none of the files that the mapping names: {wanted}")

    @property
    def num_bytes(self) -> int:
        return sum(file.stat().st_size for _, file in self._files)

    def pieces(self, on_bytes: OnBytes) -> Iterator[Piece]:
        before = 0
        for rows, file in self._files:
            size = file.stat().st_size
            for block in read_blocks(file, columns_of(rows), lambda n, before=before: on_bytes(before + n)):
                yield Piece(rows, file.name, block)
            before += size


class JsonLines:
    """One file, or `contents.jsonl`, `users.jsonl` and `events.jsonl` of a folder, each plain or .gz."""

    def __init__(self, path: Path, mapping: Mapping) -> None:
        self._files = [path] if path.is_file() else [f for name in JSON_FILES if (f := _variant(path / name))]
        if not self._files:
            raise NotFound(f"{path} is no file, and no folder with one of {', '.join(JSON_FILES)}")
        if mapping.contents is None or mapping.users is None or len(mapping.events) != 1:
            raise InvalidInput("a mapping for jsonl names users, contents and events once each")
        self._rows: dict[str, Rows] = {
            "contents": mapping.contents,
            "users": mapping.users,
            "events": mapping.events[0],
        }

    @property
    def num_bytes(self) -> int:
        return sum(file.stat().st_size for file in self._files)

    def pieces(self, on_bytes: OnBytes) -> Iterator[Piece]:
        before = 0
        columns = {kind: columns_of(rows) for kind, rows in self._rows.items()}
        for file in self._files:
            for blocks in read_json_blocks(file, columns, lambda n, before=before: on_bytes(before + n)):
                for kind, rows in self._rows.items():
                    yield Piece(rows, file.name, blocks[kind])
            before += file.stat().st_size


Source = Tables | JsonLines


def _file_of(rows: Rows, path: Path) -> Path | None:
    """The file that holds these rows. Raises NotFound where there must be one."""
    if path.is_file():
        names = {rows.file, f"{rows.file}.gz", f"{Path(rows.file).stem}.parquet"} if rows.file else {path.name}
        return path if path.name in names else None
    if rows.file is None:
        raise InvalidInput(f"{path} is no file: name one, or give each part of the mapping a `file`")
    found = _variant(path / rows.file)
    if found is None and not rows.optional:
        raise NotFound(f"{path / rows.file} is missing (plain, .gz or .parquet)")
    return found


def _variant(path: Path) -> Path | None:
    candidates = (path, path.with_name(f"{path.name}.gz"), path.with_suffix(".parquet"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)
