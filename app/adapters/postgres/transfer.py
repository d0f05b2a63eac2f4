"""Arrow tables into and out of PostgreSQL by COPY, as CSV: a hundred times the speed of row by row."""

from collections.abc import Mapping
from io import BytesIO
from typing import LiteralString

import orjson
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

_WRITE = pa_csv.WriteOptions(include_header=False, quoting_style="all_valid")  # an unquoted empty field is NULL


def stage(cursor: psycopg.Cursor, table: str, columns: Mapping[str, LiteralString], *, rows: pa.Table) -> None:
    """Fill a new temporary table, gone at the transaction's end; `columns`: name -> SQL type.

    Lists travel as JSON text.
    """
    name = sql.Identifier(table)
    kinds = sql.SQL(", ").join(sql.SQL(f"{{}} {kind}").format(sql.Identifier(c)) for c, kind in columns.items())
    cursor.execute(sql.SQL("CREATE TEMP TABLE {} ({}) ON COMMIT DROP").format(name, kinds))
    buffer = BytesIO()
    pa_csv.write_csv(_flat(rows.select(list(columns))), buffer, _WRITE)
    with cursor.copy(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(name)) as copy:
        copy.write(buffer.getbuffer())
    cursor.execute(sql.SQL("ANALYZE {}").format(name))


def fetch(cursor: psycopg.Cursor, query: LiteralString, schema: pa.Schema) -> pa.Table:
    """The result of `query`, whose columns are those of `schema`; lists come as JSON text."""
    buffer = BytesIO()
    with cursor.copy(sql.SQL("COPY ({}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)").format(sql.SQL(query))) as copy:
        for block in copy:
            buffer.write(block)
    if not buffer.tell():
        return schema.empty_table()
    buffer.seek(0)
    flat = {field.name: pa.string() if pa.types.is_list(field.type) else field.type for field in schema}
    table = pa_csv.read_csv(
        buffer,
        read_options=pa_csv.ReadOptions(column_names=schema.names),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=flat,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    columns = [
        pa.array([orjson.loads(text) for text in column.to_pylist()], field.type)
        if pa.types.is_list(field.type)
        else column
        for field, column in zip(schema, table.columns, strict=True)
    ]
    return pa.table(columns, schema=schema)


def _flat(rows: pa.Table) -> pa.Table:
    for i, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            texts = [orjson.dumps(values).decode() for values in rows.column(i).to_pylist()]
            rows = rows.set_column(i, field.name, pa.array(texts, pa.string()))
    return rows
