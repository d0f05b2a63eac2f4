"""The page of the jobs' specs: what each job is, every field of its spec, and its file of defaults."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from deploy.site.tables import code, kind_of, table
from jobs.job import JOBS, load_job
from jobs.spec import SPECS

_INTRODUCTION = """# Specs of jobs

`learnrec job run NAME` takes the defaults below; `--spec FILE` changes them by a TOML file, and `--set key=value` or
`--set table.key=value` one by one. What is written wrong is told with all its faults, before anything runs. How jobs
are run is in [Jobs](jobs.md).
"""


def page() -> str:
    return "\n".join([_INTRODUCTION, *(line for name in JOBS for line in _job(name))])


def _job(name: str) -> Iterator[str]:
    module: Any = load_job(name)
    yield f"## {name}\n"
    yield f"{_first_paragraph(module.__doc__ or '')}\n"
    rows = list(_rows(module.Spec, ""))
    yield table(("key", "type", "default", "meaning"), rows) if rows else "It has no keys of its own.\n"
    for file in sorted({*SPECS.glob(f"{name}.toml"), *SPECS.glob(f"{name}-*.toml")}):
        yield f"`jobs/specs/{file.name}`:\n\n```toml\n{file.read_text().strip()}\n```\n"


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().partition("\n\n")[0].split())


def _rows(spec: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    schema = spec.model_json_schema()
    for name, field in spec.model_fields.items():
        inside = _table_of(field.annotation)
        if inside is not None:
            yield from _rows(inside, f"{prefix}{name}.")
        elif not field.exclude:
            said = schema["properties"].get(name, {})
            default = field.get_default(call_default_factory=True)
            shown = "" if default is None or field.is_required() else code_of(default)
            yield f"`{prefix}{name}`", kind_of(said), shown, field.description or ""


def code_of(value: Any) -> str:
    return code(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)


def _table_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a table within a spec."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None
