"""Text columns as a mapping names them → typed columns of the domain's schemas, whole blocks at a time."""

import re

import polars as pl
import pyarrow as pa

from app.domain.ids import canonical_ids
from jobs.imports.mapping import Field

_ISO = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M%#z", "%Y-%m-%dT%H:%M")
_UTC = pl.Datetime("us", "UTC")


def text(field: Field) -> pl.Expr:
    """The field's text, null where there is none."""
    if not field.columns:
        return pl.lit(field.default, pl.String)
    parts = [_nonempty(pl.col(column)) for column in field.columns]
    joined = parts[0] if len(parts) == 1 else pl.concat_str(parts, separator=field.join, ignore_nulls=True)
    if field.strip:
        joined = joined.str.replace_all(f"[{re.escape(field.strip)}]", "")
    joined = _nonempty(joined)
    if field.values:
        joined = joined.replace(field.values)
    return joined if field.default is None else joined.fill_null(field.default)


def ids(frame: pl.DataFrame, field: Field, *, name: str) -> tuple[pl.Series, pl.Series]:
    """Canonical ids, null where there is none, and there the reason."""
    outside = frame.with_columns(text(field).fill_null("").alias("_outside")).get_column("_outside")
    known, faults = canonical_ids(outside.to_list(), name=name)
    return pl.Series(name, known, pl.String), pl.Series("fault", faults, pl.String)


def numbers(field: Field) -> pl.Expr:
    """Float64, null where the text is no number."""
    return text(field).str.strip_chars().cast(pl.Float64, strict=False) * field.scale


def is_no_number(field: Field) -> pl.Expr:
    return text(field).is_not_null() & text(field).str.strip_chars().cast(pl.Float64, strict=False).is_null()


def times(field: Field) -> pl.Expr:
    """UTC, null where the text is no time."""
    said = text(field)
    if field.format in ("unix", "unix_ms"):
        per_unit = 1_000_000 if field.format == "unix" else 1_000
        micros = said.cast(pl.Float64, strict=False) * per_unit
        return pl.when(micros.is_finite() & (micros.abs() < 2**62)).then(micros).cast(pl.Int64).cast(_UTC)
    if field.format == "year":
        return _parsed(said + "-01-01", "%Y-%m-%d")
    if field.format != "iso":
        return _parsed(said, field.format)
    iso = said.str.replace(" ", "T", literal=True).str.replace(r"[zZ]$", "+00:00")
    return pl.coalesce([_parsed(iso, one) for one in _ISO] + [_parsed(iso, "%Y-%m-%d")])


def tags(field: Field) -> pl.Expr:
    """Lists of trimmed tags, each once, in the order of the text."""
    one = pl.element().str.strip_chars()
    split = text(field).str.split(field.separator).list.eval(one.filter(one != "").unique(maintain_order=True))
    return split.fill_null(pl.lit([], pl.List(pl.String)))


def typed(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """The frame's columns of the same names, as Arrow of exactly this schema but for nulls that are faults."""
    loose = pa.schema([pa.field(f.name, f.type) for f in schema])
    return frame.select(schema.names).to_arrow().cast(loose)


def _parsed(said: pl.Expr, format_: str) -> pl.Expr:
    moment = said.str.to_datetime(format_, time_unit="us", strict=False)
    return moment if "z" in format_ else moment.dt.replace_time_zone("UTC")


def _nonempty(said: pl.Expr) -> pl.Expr:
    return pl.when(said.str.strip_chars() != "").then(said)
