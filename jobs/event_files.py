"""How ingested events lie in the object store, and the journal that makes writing them crash-safe.

`learning-events/events/year=YYYY/month=MM/day=DD/part-{position}.parquet`   EVENT_SCHEMA, by event time
`learning-events/journal/{group}.json`                                       what is being written right now

Learners go by pseudonyms. Files are named after the log position of the first event in them that was new,
so a batch that is written again replaces its files. Should the second attempt cut the batch elsewhere, the journal
still knows the first one's files, and they are left without rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa

from app.adapters.event_codec import decode_events, encode_events
from app.adapters.object_store import ObjectStore
from app.adapters.parquet import read_tables, write_tables
from app.adapters.personal_data import EVENTS
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.domain.events import EVENT_SCHEMA
from app.domain.pseudonyms import PseudonymKey
from app.errors import NotFound
from app.ports.metadata import Warehouse

JOURNAL = "learning-events/journal"
ORPHAN_S = 60.0
"""For which a batch waits for another of the same partition: the task of a job that was killed, and soon is, too."""


def files_by_day(events: pa.Table, position: str) -> dict[str, pa.Table]:
    """The file of each day that has events, by name; rows in order of time."""
    ordered = events.sort_by("ts")
    days = ordered.column("ts").to_numpy().astype("datetime64[D]")
    starts = np.flatnonzero(np.r_[True, days[1:] != days[:-1]]) if len(days) else np.array([], np.int64)
    ends = np.r_[starts[1:], len(days)][: len(starts)]
    return {
        f"{EVENTS}/{day_folder(days[start].item())}/part-{_file(position)}.parquet": ordered.slice(start, end - start)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    }


def complete_parquet(store: ObjectStore, events: pa.Table, key: PseudonymKey) -> int:
    """Write those of `events`, each there once, that the files of their days lack; returns their number."""
    files: dict[str, pa.Table] = {}
    for name, of_day in files_by_day(key.of_column(events), "added").items():
        folder = name.rpartition("/")[0]
        there = [f"{folder}/{each}" for each in store.files(folder)]
        ids = set(read_tables(store, there)["event_id"].to_pylist() if there else ())
        missing = of_day.filter(pa.array([event_id not in ids for event_id in of_day["event_id"].to_pylist()]))
        if len(missing):
            files[f"{folder}/part-added-{missing['event_id'][0].as_py()}.parquet"] = missing
    write_tables(store, files)
    return sum(len(table) for table in files.values())


def day_folder(day: datetime) -> str:
    return f"year={day:%Y}/month={day:%m}/day={day:%d}"


@dataclass(frozen=True, slots=True)
class Journal:
    """One entry: the files of the batch under way, and an event of it that is stored if and only if the batch is."""

    store: ObjectStore
    group: str

    def begin(self, witness: pa.Table, files: Sequence[str]) -> None:
        """Before the files are written; `witness` is one new row of EVENT_SCHEMA."""
        (event,) = encode_events(witness)
        self.store.write_json(self._name, {"version": 1, "witness": event.decode(), "files": list(files)})

    def end(self) -> None:
        """Nothing is deleted: where a folder loses its last file, not every store keeps it a folder."""
        self.store.write_json(self._name, {"version": 1, "witness": None, "files": []})

    def recover(self, warehouse: Warehouse) -> int:
        """Empty the files of a batch that ended before the warehouse had it; returns their number."""
        try:
            entry = self.store.read_json(self._name)
        except NotFound:
            return 0
        if entry["witness"] is None:
            return 0
        witness = decode_events([entry["witness"].encode()], now=datetime.now(UTC)).events
        left = entry["files"] if len(warehouse.new_events(witness)) else []
        write_tables(self.store, {name: EVENT_SCHEMA.empty_table() for name in left if self.store.exists(name)})
        self.end()
        return len(left)

    @property
    def _name(self) -> str:
        return f"{JOURNAL}/{_file(self.group)}.json"


def recover_all(store: ObjectStore, warehouse: PostgresWarehouse) -> int:
    """What batches that crashed left behind, as `Journal.recover`, of every partition.

    To be done before rows leave PostgreSQL: a batch whose witness was taken out would pass for one that never ended.
    Raises Conflict: a batch is being taken in for longer than ORPHAN_S.
    """
    recovered = 0
    for file in store.files(JOURNAL):
        group = unquote(file.removesuffix(".json"))
        with warehouse.exclusive(group, wait_s=ORPHAN_S):
            recovered += Journal(store, group).recover(warehouse)
    return recovered


def _file(position: str) -> str:
    """A log's words as part of a file name."""
    return quote(position, safe="")
