"""Where learners stand in Parquet, by pseudonym or id, and how they are taken out: files are read and written anew.

learning-events/events/…                         column user_id
learning-models/recommendations/{run}/part-….parquet   column user_id
learning-features/runs/{run}/                    the vocabulary's row, and what is of its index in every part
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.adapters.object_store import ObjectStore
from app.adapters.parquet import write_tables
from app.domain.ids import new_ids
from app.domain.pseudonyms import renamed
from jobs import snapshots
from jobs.artefacts import FEATURES, RECOMMENDATIONS
from jobs.event_files import EVENTS

NAMES = "user_id"
VOCABULARY = f"{snapshots.LEARNERS}/learners.parquet"
INDEX_OF_PART = {
    snapshots.EVENTS: "user",
    snapshots.EXAMPLES: "user_index",
    snapshots.LEARNER_AGGREGATES: "user",
}
"""Parts of a feature run, and their column of the user index."""

THREADS = 8


def take_out(store: ObjectStore, names: Collection[str]) -> dict[str, int]:
    """Rows of these learners that are gone now, by what they were in. Again finds none. Raises Unavailable."""
    return {
        "parquet.events": _filter_names(store, EVENTS, names),
        "parquet.recommendations": _filter_names(store, RECOMMENDATIONS.root, names),
        "parquet.features": sum(_filter_run(store, run, names) for run in _runs(store)),
    }


def remaining(store: ObjectStore, names: Collection[str]) -> dict[str, int]:
    """The same, of what is there: nothing is changed."""
    return {
        "parquet.events": sum(_rows_of(store, EVENTS, names).values()),
        "parquet.recommendations": sum(_rows_of(store, RECOMMENDATIONS.root, names).values()),
        "parquet.features": sum(len(_indices(store, run, names)) for run in _runs(store)),
    }


def _filter_names(store: ObjectStore, folder: str, names: Collection[str]) -> int:
    found = _rows_of(store, folder, names)
    wanted = pa.array(sorted(names), pa.string())
    for name in found:
        _rewrite(store, name, lambda rows: _without(rows, NAMES, wanted))
    return sum(found.values())


def _rows_of(store: ObjectStore, folder: str, names: Collection[str]) -> dict[str, int]:
    """Files that have rows of these learners, and how many."""
    wanted = pa.array(sorted(names), pa.string())

    def count(name: str) -> tuple[str, int]:
        column = _read(store, name, columns=[NAMES])[NAMES]
        return name, int(pc.call_function("sum", [_is_in(column, wanted)]).as_py() or 0)

    with ThreadPoolExecutor(THREADS) as threads:
        return {name: rows for name, rows in threads.map(count, _parquet(store, folder)) if rows}


def _runs(store: ObjectStore) -> list[str]:
    """Folders of feature runs, finished or not."""
    folder = FEATURES.folder("").rstrip("/")
    return sorted({f"{folder}/{name.partition('/')[0]}" for name in store.files(folder) if name.endswith(VOCABULARY)})


def _indices(store: ObjectStore, run: str, names: Collection[str]) -> list[int]:
    """User indices of these learners in the run's vocabulary."""
    known = _read(store, f"{run}/{VOCABULARY}", columns=[NAMES])[NAMES]
    rows = np.flatnonzero(_is_in(known, pa.array(sorted(names), pa.string())).to_numpy(zero_copy_only=False))
    return (rows + 1).tolist()


def _filter_run(store: ObjectStore, run: str, names: Collection[str]) -> int:
    """The vocabulary last: where it knows the learner no more, nothing of them is left."""
    indices = _indices(store, run, names)
    if not indices:
        return 0
    wanted = pa.array(indices, pa.int32())
    for part, column in INDEX_OF_PART.items():
        for name in _parquet(store, f"{run}/{part}"):
            _rewrite(store, name, lambda rows, c=column: _without(rows, c, wanted))
    strangers = new_ids(len(indices))

    def estranged(rows: pa.Table) -> pa.Table:
        users, cohorts = rows[NAMES].to_pylist(), rows["cohort_index"].to_pylist()
        for index, stranger in zip(indices, strangers, strict=True):
            users[index - 1], cohorts[index - 1] = stranger, 0
        return pa.table({NAMES: users, "cohort_index": cohorts}, schema=rows.schema)

    _rewrite(store, f"{run}/{VOCABULARY}", estranged)
    return len(indices)


def names_in(store: ObjectStore, file: str) -> list[str]:
    """The learners of one file."""
    return _read(store, file, columns=[NAMES])[NAMES].to_pylist()


def _is_in(column: pa.ChunkedArray, wanted: pa.Array) -> pa.ChunkedArray:
    return pc.call_function("is_in", [column], pc.SetLookupOptions(wanted))


def _without(rows: pa.Table, column: str, wanted: pa.Array) -> pa.Table:
    return rows.filter(pc.call_function("invert", [_is_in(rows[column], wanted)]))


def _rewrite(store: ObjectStore, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    rows = _read(store, name)
    changed = change(rows)
    if not changed.equals(rows):
        write_tables(store, {name: changed})


def _parquet(store: ObjectStore, folder: str) -> Iterator[str]:
    return (f"{folder}/{name}" for name in store.files(folder) if name.endswith(".parquet"))


def _read(store: ObjectStore, name: str, columns: list[str] | None = None) -> pa.Table:
    return pq.ParquetFile(BytesIO(store.read(name))).read(columns=columns)


def rename(store: ObjectStore, folder: str, new_names: Mapping[str, str]) -> int:
    """Other names for the learners of a folder's files; returns how many files changed. Again changes nothing."""

    def of_all(names: Sequence[str]) -> list[str]:
        return [new_names.get(name, name) for name in names]

    def change(name: str) -> bool:
        column = _read(store, name, columns=[NAMES])[NAMES].unique().to_pylist()
        if not any(one in new_names for one in column):
            return False
        _rewrite(store, name, lambda rows: renamed(rows, NAMES, of_all))
        return True

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(change, list(_parquet(store, folder))))
