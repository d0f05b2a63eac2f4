"""The catalogue and the vocabularies: outside ids become rows of arrays, and back."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.domain.contents import CONTENT_TYPES
from app.domain.ids import id_keys
from app.domain.pseudonyms import PLAIN, PseudonymKey
from app.features.arrays import load_arrays, save_arrays

MAX_TAGS = 8
"""Tags of a content that the models see: the rarest ones, as they say most."""


@dataclass(frozen=True, slots=True)
class ContentArrays:
    """What the models know of each content; row = catalogue index."""

    content_type: NDArray[np.int8]  # [I] code of CONTENT_TYPES
    tags: NDArray[np.int32]  # [I, MAX_TAGS] tag index, -1 padding
    difficulty: NDArray[np.float32]  # [I] 1..5, 0 unknown
    created_at: NDArray[np.int64]  # [I] Unix seconds


class KeyIndex:
    """Rows by id, looked up in bulk by binary search over 64-bit keys."""

    def __init__(self, ids: Sequence[str]) -> None:
        keys = id_keys(ids)
        self._order = np.argsort(keys, kind="stable")
        self._sorted = keys[self._order]

    def rows(self, ids: Iterable[str]) -> NDArray[np.int32]:
        """Row of each id, -1 where it is not there. `[n]`."""
        keys = id_keys(ids)
        if not len(self._sorted) or not len(keys):
            return np.full(len(keys), -1, np.int32)
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        return np.where(self._sorted[at] == keys, self._order[at], -1).astype(np.int32)


class Catalogue:
    """The contents of a feature run or release, in the order that every array of it uses."""

    def __init__(self, table: pa.Table, arrays: ContentArrays, tag_names: Sequence[str]) -> None:
        self.table = table  # CONTENT_SCHEMA, row = catalogue index
        self.arrays = arrays
        self.tag_names = tuple(tag_names)
        self.content_ids: tuple[str, ...] = tuple(table["content_id"].to_pylist())
        self.titles: tuple[str, ...] = tuple(table["title"].to_pylist())
        self.types: tuple[str, ...] = tuple(table["type"].to_pylist())
        self._rows = KeyIndex(self.content_ids)

    def __len__(self) -> int:
        return len(self.content_ids)

    def index_of(self, ids: Iterable[str]) -> NDArray[np.int32]:
        """Catalogue index of each canonical id, -1 where unknown. `[n]`."""
        return self._rows.rows(ids)

    @classmethod
    def build(cls, contents: pa.Table) -> "Catalogue":
        """From rows of CONTENT_SCHEMA, sorted by id so that the same contents always give the same catalogue."""
        table = contents.sort_by("content_id").combine_chunks()
        tag_names, tags = _tag_matrix(table["tags"])
        return cls(table, _content_arrays(table, tags), tag_names)

    def extended(self, contents: pa.Table) -> "Catalogue":
        """With rows of CONTENT_SCHEMA that it does not have yet behind its own; tags that it does not know are none."""
        number = {name: i for i, name in enumerate(self.tag_names)}
        tags = np.full((len(contents), MAX_TAGS), -1, np.int32)
        for row, names in enumerate(contents["tags"].to_pylist()):
            known = sorted({number[name] for name in names if name in number})[:MAX_TAGS]
            tags[row, : len(known)] = known
        more = _content_arrays(contents, tags)
        arrays = ContentArrays(
            *(np.concatenate([getattr(self.arrays, f.name), getattr(more, f.name)]) for f in fields(ContentArrays))
        )
        return Catalogue(pa.concat_tables([self.table, contents.cast(self.table.schema)]), arrays, self.tag_names)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(self.table, folder / "contents.parquet")
        (folder / "tags.json").write_text(json.dumps(self.tag_names, ensure_ascii=False))
        save_arrays(folder, self.arrays)

    @classmethod
    def load(cls, folder: Path) -> "Catalogue":
        tag_names = json.loads((folder / "tags.json").read_text())
        return cls(pq.read_table(folder / "contents.parquet"), load_arrays(folder, ContentArrays), tag_names)


def _content_arrays(table: pa.Table, tags: NDArray[np.int32]) -> ContentArrays:
    types = {name: code for code, name in enumerate(CONTENT_TYPES)}
    created_at = table["created_at"].cast(pa.timestamp("s", tz="UTC"), safe=False).cast(pa.int64())
    return ContentArrays(
        content_type=np.array([types[t] for t in table["type"].to_pylist()], np.int8),
        tags=tags,
        difficulty=table["difficulty"].cast(pa.float32()).fill_null(0).to_numpy(),
        created_at=created_at.to_numpy(),
    )


def _tag_matrix(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    lists = column.to_pylist()
    counts: dict[str, int] = {}
    for tags in lists:
        for tag in set(tags):
            counts[tag] = counts.get(tag, 0) + 1
    names = sorted(counts)
    number = {name: i for i, name in enumerate(names)}
    matrix = np.full((len(lists), MAX_TAGS), -1, np.int32)
    for row, tags in enumerate(lists):
        rarest = sorted(set(tags), key=lambda tag: (counts[tag], tag))[:MAX_TAGS]
        matrix[row, : len(rarest)] = sorted(number[tag] for tag in rarest)
    return names, matrix


class LearnerVocabulary:
    """Known learners and cohorts; index 0 stands for the unknown."""

    def __init__(
        self,
        user_ids: Sequence[str],
        cohort_index: NDArray[np.int32],
        cohorts: Sequence[str],
        *,
        key: PseudonymKey = PLAIN,
    ) -> None:
        self.user_ids = tuple(user_ids)  # row r has user index r + 1; pseudonyms under `key`
        self._key = key
        self.cohorts = tuple(cohorts)  # position c has cohort index c + 1
        self.cohort_of_user = np.r_[np.int32(0), cohort_index].astype(np.int32)  # [1 + U] cohort index by user index
        self._rows = KeyIndex(self.user_ids)
        self._cohort_number = {name: i + 1 for i, name in enumerate(self.cohorts)}

    def __len__(self) -> int:
        return len(self.user_ids)

    def index_of(self, user_ids: Iterable[str]) -> NDArray[np.int32]:
        """User index of each canonical id, 0 where unknown. `[n]`."""
        return self._rows.rows(self._key.of_all(user_ids)) + np.int32(1)

    def cohort_index_of(self, tags: Sequence[str | None]) -> NDArray[np.int32]:
        """Cohort index of each tag, 0 where None or unknown. `[n]`."""
        return np.array([self._cohort_number.get(t, 0) if t else 0 for t in tags], np.int32)

    @classmethod
    def build(cls, users: pa.Table) -> "LearnerVocabulary":
        """From rows of USER_SCHEMA, sorted by id."""
        table = users.sort_by("user_id")
        tags = table["cohort_tag"].to_pylist()
        cohorts = sorted({t for t in tags if t})
        number = {name: i + 1 for i, name in enumerate(cohorts)}
        index = np.array([number.get(t, 0) if t else 0 for t in tags], np.int32)
        return cls(table["user_id"].to_pylist(), index, cohorts)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        columns = {"user_id": self.user_ids, "cohort_index": self.cohort_of_user[1:]}
        pq.write_table(pa.table(columns, schema=_VOCABULARY_SCHEMA), folder / "learners.parquet")
        (folder / "cohorts.json").write_text(json.dumps(self.cohorts, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path, key: PseudonymKey = PLAIN) -> "LearnerVocabulary":
        """With the key of the pseudonyms in it, `index_of` takes ids; without, pseudonyms."""
        table = pq.read_table(folder / "learners.parquet")
        cohorts = json.loads((folder / "cohorts.json").read_text())
        return cls(table["user_id"].to_pylist(), table["cohort_index"].to_numpy(), cohorts, key=key)


_VOCABULARY_SCHEMA = pa.schema([("user_id", pa.string()), ("cohort_index", pa.int32())])
