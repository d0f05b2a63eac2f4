"""What a sweep searches: names of hyperparameters, and where their values may lie."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_origin

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

Scalar = bool | int | float | str
Space = Mapping[str, "Dimension"]


class Dimension(BaseModel):
    """Either a range, both ends included, or a list of choices."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float | None = None
    high: int | float | None = None
    log: bool = False
    choices: tuple[Scalar, ...] | None = None

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is None: TOML has no word for it."""
        return {name: value for name, value in handler(self).items() if value is not None}

    @property
    def samples(self) -> tuple[Scalar, ...]:
        """Values that must be allowed for all of the dimension to be."""
        return self.choices or tuple(end for end in (self.low, self.high) if end is not None)

    def holds(self, value: Scalar) -> bool:
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None
        assert self.high is not None
        return not isinstance(value, str) and self.low <= value <= self.high

    def fault(self) -> str | None:
        """Why it is no dimension."""
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                return "give either choices, or low and high"
            return None if len(set(self.choices)) > 1 else "give at least two different choices"
        if self.low is None or self.high is None:
            return "give low and high (and log = true for scales), or choices = […]"
        if self.low >= self.high:
            return f"low must be less than high, not {self.low} and {self.high}"
        return "a logarithmic range starts above 0" if self.log and self.low <= 0 else None


def faults_of(
    space: Space, *, fixed: Mapping[str, Any], config: type[BaseModel], table: str, closed: Mapping[str, str]
) -> Iterator[str]:
    """Everything that is wrong with a space over the fields of `config`, a line each.

    `fixed` are the values of the table `[table]`; `closed` says of a field why it cannot be searched.
    """
    fields = config.model_fields
    for name in fixed.keys() - fields.keys():
        yield f"{table}.{name}: unknown key; allowed here are {', '.join(fields)}"
    known = {name: value for name, value in fixed.items() if name in fields}
    yield from _refused(config, known, where=lambda name: f"{table}.{name}")
    for name, dimension in space.items():
        where = f"space.{name}"
        if name not in fields:
            yield f"{where}: unknown key; allowed here are {', '.join(n for n in fields if n not in closed)}"
        elif name in closed:
            yield f"{where}: {closed[name]}; it may be set in [{table}]"
        elif fault := dimension.fault():
            yield f"{where}: {fault}"
        elif name in fixed:
            yield f"{where}: it is fixed in [{table}] as well; leave out one of the two"
        elif dimension.choices is None and not _is_number(fields[name].annotation):
            yield f"{where}: it is no number; give choices"
        else:
            for value in dimension.samples:
                yield from _refused(config, {name: value}, where=lambda _, where=where: where)


def _refused(config: type[BaseModel], values: Mapping[str, Any], *, where: Any) -> Iterator[str]:
    try:
        config.model_validate(values)
    except ValidationError as exc:
        for error in exc.errors():
            yield f"{where(error['loc'][0] if error['loc'] else '')}: {error['msg']}, not {error['input']!r}"


def _is_number(annotation: Any) -> bool:
    return annotation in (int, float) and get_origin(annotation) is not Literal


def distributions(space: Space, config: type[BaseModel]) -> dict[str, BaseDistribution]:
    """The space as Optuna has it; whole numbers where the field is one."""
    return {name: _distribution(dimension, config.model_fields[name].annotation) for name, dimension in space.items()}


def _distribution(dimension: Dimension, annotation: Any) -> BaseDistribution:
    if dimension.choices is not None:
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None
    assert dimension.high is not None
    if annotation is int:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def default_point(space: Space, config: BaseModel) -> dict[str, Scalar] | None:
    """Where `config` lies in the space; None where it lies outside."""
    point = {name: getattr(config, name) for name in space}
    return point if all(space[name].holds(value) for name, value in point.items()) else None
