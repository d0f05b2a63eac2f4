"""Where learners stand in Parquet, by pseudonym or id, and how they are taken out: files are read and written anew.

learning-events/events/…                         column user_id
learning-models/recommendations/{run}/part-….parquet   column user_id
learning-features/runs/{run}/                    the vocabulary's row, and what is of its index in every part
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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


def take_out(store: ObjectStore, learners: Mapping[str, Collection[str]]) -> dict[str, dict[str, int]]:
    """Rows that are gone now: of each learner, by what they were in. Again finds none. Raises Unavailable.

    `learners`: all names of each. Every file is read once, however many they are.
    """
    return _by_learner(
        learners,
        {
            "parquet.events": _filter_names(store, EVENTS, learners),
            "parquet.recommendations": _filter_names(store, RECOMMENDATIONS.root, learners),
            "parquet.features": _total(_filter_run(store, run, learners) for run in _runs(store)),
        },
    )


def remaining(store: ObjectStore, learners: Mapping[str, Collection[str]]) -> dict[str, dict[str, int]]:
    """The same, of what is there: nothing is changed."""
    return _by_learner(
        learners,
        {
            "parquet.events": _total(_rows_of(store, EVENTS, learners).values()),
            "parquet.recommendations": _total(_rows_of(store, RECOMMENDATIONS.root, learners).values()),
            "parquet.features": _total(Counter(_indices(store, run, learners).values()) for run in _runs(store)),
        },
    )


def _by_learner(
    learners: Mapping[str, Collection[str]], found: Mapping[str, Counter[str]]
) -> dict[str, dict[str, int]]:
    return {learner: {place: rows[learner] for place, rows in found.items()} for learner in learners}


def _total(counts: Iterable[Counter[str]]) -> Counter[str]:
    return sum(counts, Counter[str]())


def _filter_names(store: ObjectStore, folder: str, learners: Mapping[str, Collection[str]]) -> Counter[str]:
    found = _rows_of(store, folder, learners)
    wanted = pa.array(sorted(_owners(learners)), pa.string())
    for name in found:
        _rewrite(store, name, lambda rows: _without(rows, NAMES, wanted))
    return _total(found.values())


def _rows_of(store: ObjectStore, folder: str, learners: Mapping[str, Collection[str]]) -> dict[str, Counter[str]]:
    """Files that have rows of these learners, and how many of each."""
    owners = _owners(learners)
    wanted = pa.array(sorted(owners), pa.string())

    def count(name: str) -> tuple[str, Counter[str]]:
        column = _read(store, name, columns=[NAMES])[NAMES]
        pairs = column.filter(_is_in(column, wanted)).value_counts().to_pylist()
        return name, _total(Counter({owners[pair["values"]]: pair["counts"]}) for pair in pairs)

    with ThreadPoolExecutor(THREADS) as threads:
        return {name: rows for name, rows in threads.map(count, _parquet(store, folder)) if rows}


def _owners(learners: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Whose each name is."""
    return {name: learner for learner, names in learners.items() for name in names}


def _runs(store: ObjectStore) -> list[str]:
    """Folders of feature runs, finished or not."""
    folder = FEATURES.folder("").rstrip("/")
    return sorted({f"{folder}/{name.partition('/')[0]}" for name in store.files(folder) if name.endswith(VOCABULARY)})


def _indices(store: ObjectStore, run: str, learners: Mapping[str, Collection[str]]) -> dict[int, str]:
    """User indices of these learners in the run's vocabulary, and whose they are."""
    owners = _owners(learners)
    known = _read(store, f"{run}/{VOCABULARY}", columns=[NAMES])[NAMES]
    rows = np.flatnonzero(_is_in(known, pa.array(sorted(owners), pa.string())).to_numpy(zero_copy_only=False))
    return {int(row) + 1: owners[known[row].as_py()] for row in rows}


def _filter_run(store: ObjectStore, run: str, learners: Mapping[str, Collection[str]]) -> Counter[str]:
    """The vocabulary last: where it knows the learner no more, nothing of them is left."""
    indices = _indices(store, run, learners)
    if not indices:
        return Counter()
    wanted = pa.array(list(indices), pa.int32())
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
    return Counter(indices.values())


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
