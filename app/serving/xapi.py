"""Statements of the Experience API 1.0.3 as events, by a table that can be extended.

Source: Experience API, Part Two: Data, and Part Three: Communication (ADL, 1.0.3). Only what says what a learner did
is looked at closely; the rest of a statement may be anything that the specification has a name for.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from app.domain.events import EventType
from app.domain.ids import MAX_ID_LENGTH
from app.errors import InvalidInput
from app.serving.schemas import MAX_EVENTS, Closed, EventIn

VERSION = "1.0.3"
DEFAULTS = Path(__file__).with_name("xapi.toml")
Iri = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$", max_length=2048)]
Uuid = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]


class Account(Closed):
    homePage: Iri  # noqa: N815  # the specification's name
    name: str = Field(min_length=1)


class Actor(Closed):
    objectType: Literal["Agent", "Group"] = "Agent"  # noqa: N815
    name: str | None = None
    mbox: Annotated[str, Field(pattern=r"^mailto:\S+@\S+$")] | None = None
    mbox_sha1sum: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{40}$")] | None = None
    openid: Iri | None = None
    account: Account | None = None
    member: list[Any] | None = None

    @model_validator(mode="after")
    def _one_identifier(self) -> "Actor":
        given = [name for name in ("mbox", "mbox_sha1sum", "openid", "account") if getattr(self, name) is not None]
        if len(given) > 1 or (not given and self.objectType == "Agent"):
            raise ValueError("exactly one of mbox, mbox_sha1sum, openid and account identifies an agent")
        return self

    @property
    def outside_id(self) -> str:
        """The learner's own id, as far as it is one: "" for a group that nobody named."""
        if self.account:
            return self.account.name
        return (self.mbox or "").removeprefix("mailto:") or self.mbox_sha1sum or self.openid or ""


class Verb(Closed):
    id: Iri
    display: dict[str, str] | None = None


class Thing(BaseModel):
    """The object: an Activity, unless it says otherwise."""

    model_config = ConfigDict(extra="allow")

    objectType: Literal["Activity", "Agent", "Group", "SubStatement", "StatementRef"] = "Activity"  # noqa: N815
    id: Iri | Uuid | None = None

    @model_validator(mode="after")
    def _activity_has_an_id(self) -> "Thing":
        if self.objectType == "Activity" and self.id is None:
            raise ValueError("an Activity has an id")
        return self


class Score(Closed):
    scaled: float | None = Field(None, ge=-1, le=1)
    raw: float | None = None
    min: float | None = None
    max: float | None = None


class Result(Closed):
    score: Score | None = None
    success: bool | None = None
    completion: bool | None = None
    response: str | None = None
    duration: str | None = None
    extensions: dict[str, Any] | None = None

    @property
    def share(self) -> float | None:
        """How good it was, 0..1, as far as it is told."""
        score = self.score
        if score and score.scaled is not None:
            return max(0.0, score.scaled)
        if score and score.raw is not None and score.max is not None and score.max > (score.min or 0.0):
            low = score.min or 0.0
            return min(max((score.raw - low) / (score.max - low), 0.0), 1.0)
        return None if self.success is None else float(self.success)


class Statement(Closed):
    actor: Actor
    verb: Verb
    object: Thing
    id: Uuid | None = None
    result: Result | None = None
    context: dict[str, Any] | None = None
    timestamp: AwareDatetime | None = None
    stored: str | None = None
    authority: dict[str, Any] | None = None
    version: Annotated[str, Field(pattern=r"^1\.0(\.\d+)?$")] | None = None
    attachments: list[Any] | None = None


STATEMENTS: TypeAdapter[list[Statement]] = TypeAdapter(
    Annotated[list[Statement], Field(min_length=1, max_length=MAX_EVENTS)]
)


class Rule(Closed):
    """What a verb means."""

    event_type: EventType
    score: bool = False
    otherwise: float | None = Field(None, ge=0, le=1)
    at_least: float | None = Field(None, ge=0, le=1)


class Mapping(Closed):
    """What statements become; see xapi.toml."""

    strip: tuple[str, ...] = ()
    verbs: dict[str, Rule] = Field(default_factory=dict[str, Rule])

    @classmethod
    def load(cls, path: Path | None) -> "Mapping":
        """The defaults, and `path` before them. Raises InvalidInput."""
        own = cls._read(path) if path else cls()
        usual = cls._read(DEFAULTS)
        return cls(strip=(*own.strip, *usual.strip), verbs=usual.verbs | own.verbs)

    @classmethod
    def _read(cls, path: Path) -> "Mapping":
        try:
            return cls.model_validate(tomllib.loads(path.read_text()))
        except (OSError, tomllib.TOMLDecodeError, ValidationError) as exc:
            raise InvalidInput(f"{path} is no mapping of xAPI statements: {exc}; see {DEFAULTS.name}") from exc

    def event_of(self, statement: Statement, *, event_id: str) -> EventIn | str:
        """The event, or why there is none."""
        rule, thing, learner = self.verbs.get(statement.verb.id), statement.object, statement.actor.outside_id
        if rule is None:
            return "verb is not mapped"
        if thing.objectType != "Activity" or thing.id is None:
            return "object is no Activity"
        content = next((thing.id.removeprefix(each) for each in self.strip if thing.id.startswith(each)), thing.id)
        if not learner or max(len(learner), len(content)) > MAX_ID_LENGTH or not content:
            return f"actor or activity has no id of 1 to {MAX_ID_LENGTH} characters"
        share = statement.result.share if statement.result else None
        if rule.at_least is not None and (share is None or share < rule.at_least):
            return "score is too low or missing"
        value = (rule.otherwise if share is None else share) if rule.score else None
        if rule.score and value is None:
            return "score is missing"
        return EventIn(
            user_id=learner,
            content_id=content,
            event_type=rule.event_type,
            value=value,
            ts=statement.timestamp,
            event_id=event_id,
        )
