"""Parquet in the object store: many small tables at a time."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from app.adapters.object_store import ObjectStore

_THREADS = 8


def write_tables(store: ObjectStore, tables: Mapping[str, pa.Table]) -> None:
    """Each table under its name, whole or not at all, several at a time. Raises Unavailable."""

    def write(named: tuple[str, pa.Table]) -> None:
        name, table = named
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd")
        store.write(name, buffer.getvalue().to_pybytes())

    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(write, tables.items()):
            pass


def read_tables(store: ObjectStore, names: Sequence[str]) -> pa.Table:
    """The rows of all these objects, in the order of `names`. Raises NotFound, Unavailable."""
    tables = [pq.ParquetFile(pa.BufferReader(store.read(name))).read() for name in names]
    return pa.concat_tables(tables)
