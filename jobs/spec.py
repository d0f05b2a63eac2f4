"""Specs of jobs: TOML, validated, all faults told together."""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from app.errors import InvalidSpec
from jobs.job import JobSpec, load_job

SPECS = Path(__file__).parent / "specs"
"""`NAME.toml` for every job: its defaults, written out and explained."""


def load_spec(name: str, file: Path | None = None, assignments: Iterable[str] = ()) -> JobSpec:
    """The spec of the job `name`: its defaults, then `file`, then assignments such as `num_epochs=3` or `a.b="x"`.

    Raises InvalidSpec with every fault at once, and NotFound for the job.
    """
    model = load_job(name).Spec
    values = read_toml(file) if file else {}
    for assignment in assignments:
        _assign(values, assignment)
    return parse_spec(model, values, where=str(file) if file else name)


def parse_spec(model: type[JobSpec], values: Mapping[str, Any], *, where: str) -> JobSpec:
    """Raises InvalidSpec: one line a fault, with what is allowed."""
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        faults = [_fault(model, cast(Mapping[str, Any], error)) for error in exc.errors()]
        raise InvalidSpec(f"the spec {where} does not validate:\n" + "\n".join(f"  {f}" for f in faults)) from exc


def read_toml(file: Path) -> dict[str, Any]:
    """Raises InvalidSpec: the file is not there, or is no TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InvalidSpec(f"cannot read the spec {file}: {exc.strerror}; defaults are in {SPECS}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise InvalidSpec(f"the spec {file} is no TOML: {exc}") from exc


def _assign(values: dict[str, Any], assignment: str) -> None:
    path, sign, text = assignment.partition("=")
    if not sign or not path.strip():
        raise InvalidSpec(f"{assignment!r} assigns nothing: write key=value, or table.key=value")
    *tables, key = path.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise InvalidSpec(f"{assignment!r}: {table} is a value, not a table")
    values[key] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    """The value as TOML reads it; a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _fault(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if not path:
        return str(error["msg"])  # of a spec as a whole: it names what it means
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key; allowed here are {', '.join(_fields_at(model, error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"{path}: missing"
    return f"{path}: {error['msg']}, not {error['input']!r}"


def _fields_at(model: type[BaseModel], path: Iterable[Any]) -> list[str]:
    inside: Any = model
    for part in path:
        if get_origin(inside) is dict:
            inside = get_args(inside)[1]
        elif field := inside.model_fields.get(str(part)):
            inside = field.annotation
        if get_origin(inside) is not dict and not (isinstance(inside, type) and issubclass(inside, BaseModel)):
            return []
    return [name for name, field in inside.model_fields.items() if not field.exclude]
