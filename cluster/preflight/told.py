"""What environment files tell a deployment, and what will be told from elsewhere: unseen here, but named."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv.parser import parse_stream
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from typing_extensions import override

from app.errors import InvalidInput, LearnrecError
from app.secret_sources import of_aws
from app.settings import Settings

PREFIX = "LEARNREC_"
SECRET_FIELDS = (
    "postgres_url",
    "redis_url",
    "kafka_sasl_username",
    "kafka_sasl_password",
    "pseudonym_keys",
    "receipt_key",
)
"""What a manager of secrets is expected to hold, where one is named."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a file or one of its lines. Never the line itself: it may hold a password."""

    where: str
    found: str
    advice: str


@dataclass(slots=True)
class Told:
    """By variable: values, where they stand, and where those that cannot be seen here will come from."""

    files: frozenset[str] = frozenset()
    values: dict[str, str] = field(default_factory=dict[str, str])
    origins: dict[str, str] = field(default_factory=dict[str, str])
    elsewhere: dict[str, str] = field(default_factory=dict[str, str])
    faults: list[Fault] = field(default_factory=list[Fault])

    def has(self, *fields: str) -> bool:
        """Whether one of these settings is told, here or elsewhere."""
        return any(variable(name) in self.values or variable(name) in self.elsewhere for name in fields)

    def settings(self) -> tuple[Settings, dict[str, str]]:
        """What validates, and for each variable that does not, why."""
        names = {variable(name): name for name in Settings.model_fields}
        given = {names[name]: value for name, value in self.values.items() if name in names}
        refused: dict[str, str] = {}
        while True:
            try:
                return _OnlyThese.model_validate(given), refused
            except ValidationError as exc:
                for error in exc.errors(include_input=False):
                    name = str(error["loc"][0])
                    refused[variable(name)] = error["msg"]
                    given.pop(name)


class _OnlyThese(Settings):
    """Nothing of this process's own environment."""

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def variable(name: str) -> str:
    """The variable of a field of Settings."""
    return f"{PREFIX}{name.upper()}"


def read(paths: Iterable[Path], *, ask: bool = False) -> Told:
    """Of a variable that stands in several files the last one counts. With `ask`, AWS is asked for its secret.

    Raises InvalidInput: a file cannot be read.
    """
    paths = list(paths)
    told = Told(frozenset(map(str, paths)))
    for path in paths:
        _take(told, path)
    for name in [name for name, value in told.values.items() if not value.strip()]:
        told.faults.append(Fault(name, "is empty", "give it a value, or leave the line out"))
        del told.values[name], told.origins[name]
    _take_named_files(told)
    _take_folder(told)
    _take_aws(told, ask=ask)
    return told


def _take(told: Told, path: Path) -> None:
    try:
        with path.open(encoding="utf-8") as stream:
            lines = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"{path} cannot be read as an environment file: {exc}") from exc
    seen: set[str] = set()
    for line in lines:
        text = line.original.string
        number = line.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        if line.error:
            told.faults.append(Fault(f"{path}:{number}", "is no line of KEY=VALUE", "mend its quotes, or make it a #"))
        if line.error or line.key is None:
            continue
        if line.key in seen:
            told.faults.append(Fault(f"{path}:{number}", f"tells {line.key} again", "leave one of the lines"))
        seen.add(line.key)
        for earlier in (told.values, told.origins, told.elsewhere):
            earlier.pop(line.key, None)
        if line.value is None:  # a name alone, as `docker run --env-file` and Kustomize have it
            told.elsewhere[line.key] = "the deployment itself"
        else:
            told.values[line.key], told.origins[line.key] = line.value, str(path)


def _take_named_files(told: Told) -> None:
    """`LEARNREC_X_FILE=PATH`: a path of the machine that is deployed to, which may be here as well."""
    for name, path in list(told.values.items()):
        target = name.removesuffix("_FILE")
        if target != name and target.startswith(PREFIX):
            _take_file(told, target, Path(path), otherwise=path)


def _take_folder(told: Told) -> None:
    if folder := told.values.get(variable("secrets_dir")):
        found = {path.name.upper(): path for path in Path(folder).glob("*") if path.is_file()}
        names = [variable(name) for name in Settings.model_fields] if found else map(variable, SECRET_FIELDS)
        for name in names:
            if not found or name in found:
                _take_file(told, name, found.get(name, Path(folder) / name), otherwise=folder)


def _take_file(told: Told, name: str, path: Path, *, otherwise: str) -> None:
    if name in told.values or name in told.elsewhere:
        return
    try:
        told.values[name], told.origins[name] = path.read_text().strip(), str(path)
    except (OSError, UnicodeDecodeError):
        told.elsewhere[name] = otherwise


def _take_aws(told: Told, *, ask: bool) -> None:
    if not (secret := told.values.get(variable("secrets_aws"))):
        return
    where = f"the AWS secret {secret}"
    if not ask:
        for name in map(variable, SECRET_FIELDS):
            if name not in told.values:
                told.elsewhere.setdefault(name, where)
        return
    try:
        found: Mapping[str, object] = of_aws(Settings, secret)()
    except LearnrecError as exc:
        told.faults.append(Fault(variable("secrets_aws"), f"cannot be asked: {exc}", "see to AWS's credentials here"))
        return
    for name, value in _texts(found):
        if name not in told.values and name not in told.elsewhere:
            told.values[name], told.origins[name] = value, where


def _texts(found: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in found.items():
        yield variable(name), value.get_secret_value() if isinstance(value, SecretStr) else str(value)
