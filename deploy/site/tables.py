"""Markdown of fields: names, types, defaults and what they mean."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
_FORMATS = {"path": "path", "password": "secret", "date-time": "time (RFC 3339)"}


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Without the columns that are empty in every row."""
    body = [[_cell(cell) for cell in row] for row in rows]
    used = [number for number in range(len(headings)) if number == 0 or any(row[number] for row in body)]
    lines = [[headings[number] for number in used], ["---"] * len(used), *([row[n] for n in used] for row in body)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def code(value: Any) -> str:
    """As JSON has it."""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def type_of(schema: Schema) -> str:
    """In words; objects of the document by links to their headings."""
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return code(schema["const"])
    if "enum" in schema:
        return " or ".join(map(code, schema["enum"]))
    if parts := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return " or ".join(dict.fromkeys(map(type_of, parts)))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if kind == "object" and isinstance(inside := schema.get("additionalProperties"), Mapping):
        return f"object of {type_of(inside)}"
    return _FORMATS.get(schema.get("format", ""), kind)


def kind_of(schema: Schema) -> str:
    """The type, and what a value of it may be."""
    parts = [schema, *schema.get("anyOf", ())]
    return ", ".join([type_of(schema).replace(" or null", ""), *(said for part in parts for said in _limits(part))])


def _limits(schema: Schema) -> Iterator[str]:
    words = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}
    yield from (text.format(schema[name]) for name, text in words.items() if name in schema)
    for what, unit in (("Length", " characters"), ("Items", " of them")):
        if f"max{what}" in schema:
            yield f"{schema.get(f'min{what}', 0)} to {schema[f'max{what}']}{unit}"
    if "pattern" in schema:
        yield f"like `{schema['pattern']}`"


def default_of(schema: Schema) -> str:
    return "" if schema.get("default") is None else code(schema["default"])


def fields(schema: Schema) -> str:
    """A table of an object's properties."""
    needed = schema.get("required", ())
    rows = [
        (
            f"`{name}`",
            kind_of(field),
            "needed" if name in needed else default_of(field),
            str(field.get("description", "")),
        )
        for name, field in schema.get("properties", {}).items()
    ]
    return table(("field", "type", "default", "meaning"), rows)
