"""Mapping files: which columns of a file mean what. TOML, one table a kind of row."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from app.domain.events import EventType
from app.errors import InvalidInput, NotFound

MAPPINGS = Path(__file__).parent / "mappings"
FORMATS = {"mars": "mars", "movielens": "movielens", "csv": "learnrec", "jsonl": "jsonl"}
"""Format -> the mapping that it brings along."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Field(_Model):
    """Where a value comes from. In a mapping file, a plain string stands for that one column."""

    columns: tuple[str, ...] = ()
    join: str = " "  # between several columns
    strip: str = ""  # characters that are removed wherever they are
    values: dict[str, str] = {}  # text in the file -> text that is meant; others stay
    default: str | None = None  # where the file says nothing
    separator: str = "|"  # of tags
    scale: float = 1.0  # of values
    format: str = "iso"  # of times: iso, unix (seconds), unix_ms, year, or as strptime has it; without zone: UTC


def _column(said: object) -> object:
    return {"columns": [said]} if isinstance(said, str) else said


From = Annotated[Field, BeforeValidator(_column)]


class _Rows(_Model):
    file: str | None = None  # in the folder that is imported, plain, .gz or .parquet; None: the file itself
    optional: bool = False


class UserRows(_Rows):
    user_id: From
    cohort_tag: From = Field()
    created_at: From | None = None  # None: the time of the import, until an earlier event is seen


class ContentRows(_Rows):
    content_id: From
    title: From
    type: From
    tags: From = Field()
    difficulty: From = Field()
    created_at: From


class Also(_Model):
    """A further event without value from the same row, where a number in it is large enough."""

    event_type: Literal[EventType.VIEW, EventType.COMPLETE, EventType.LIKE]
    column: str
    at_least: float


class EventRows(_Rows):
    event_id: From | None = None  # None: made from what the event says
    user_id: From
    content_id: From
    event_type: From
    value: From = Field()
    ts: From
    also: tuple[Also, ...] = ()


Rows = UserRows | ContentRows | EventRows


class Mapping(_Model):
    """All kinds of rows of a source."""

    users: UserRows | None = None
    contents: ContentRows | None = None
    events: tuple[EventRows, ...] = ()

    @property
    def rows(self) -> tuple[Rows, ...]:
        """In the order in which they are to be taken in: events come last."""
        return tuple(rows for rows in (self.contents, self.users) if rows) + self.events


def load_mapping(file: Path) -> Mapping:
    """Raises NotFound, and InvalidInput with every fault of the file."""
    try:
        said: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
        return Mapping.model_validate(said)
    except FileNotFoundError as exc:
        raise NotFound(f"no mapping file {file}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise InvalidInput(f"the mapping {file} is no TOML: {exc}") from exc
    except ValidationError as exc:
        faults = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors())
        raise InvalidInput(f"the mapping {file} does not validate:\n{faults}") from exc


def mapping_of(format_: str) -> Mapping:
    """What a format brings along. Raises InvalidInput for a format that there is not."""
    if format_ not in FORMATS:
        raise InvalidInput(f"no format {format_!r}: choose one of {', '.join(FORMATS)}")
    return load_mapping(MAPPINGS / f"{FORMATS[format_]}.toml")


def columns_of(rows: Rows) -> list[str]:
    """Columns that a file must have."""
    named = [getattr(rows, name) for name in type(rows).model_fields]
    columns = [column for field in named if isinstance(field, Field) for column in field.columns]
    also = rows.also if isinstance(rows, EventRows) else ()
    return list(dict.fromkeys([*columns, *(rule.column for rule in also)]))
