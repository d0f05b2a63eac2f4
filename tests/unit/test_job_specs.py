"""Specs of jobs: one file a job, the same defaults in file and code, all faults told together."""

import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from app.errors import InvalidSpec, NotFound
from jobs.job import JOBS, load_job
from jobs.spec import SPECS, load_spec
from jobs.submission import arguments_of

WITH_DEFAULTS = [name for name in JOBS if name != "tune"]
"""A sweep has no default of what is searched; its files are ready ones."""


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def commented(lines: list[str]) -> Iterator[bool]:
    for number, line in enumerate(lines):
        if "=" in line and not line.startswith("#"):
            yield number > 0 and lines[number - 1].startswith("#")


@pytest.mark.parametrize("name", WITH_DEFAULTS)
def test_every_job_has_a_file_that_says_its_defaults(name: str) -> None:
    in_file = leaves(tomllib.loads((SPECS / f"{name}.toml").read_text()))
    in_code = leaves(load_job(name).Spec().model_dump(mode="json"))
    if name == "pipeline":  # the other jobs' tables are at home in their own files
        in_code = {key: value for key, value in in_code.items() if "." not in key}
    assert in_file == in_code


@pytest.mark.parametrize("name", WITH_DEFAULTS)
def test_every_value_in_a_file_is_explained(name: str) -> None:
    assert all(commented((SPECS / f"{name}.toml").read_text().splitlines()))


def test_there_is_no_file_without_a_job() -> None:
    assert {path.stem.partition("-")[0] for path in SPECS.glob("*.toml")} == set(JOBS)


@pytest.mark.parametrize("name", WITH_DEFAULTS)
def test_a_file_of_defaults_is_a_spec(name: str) -> None:
    assert load_spec(name, SPECS / f"{name}.toml") == load_job(name).Spec()


def test_assignments_come_after_the_file_and_reach_into_tables(tmp_path: Path) -> None:
    file = tmp_path / "spec.toml"
    file.write_text('features = "abc"\n[towers]\nnum_epochs = 4\ndropout = 0.2\n')

    spec: Any = load_spec("train_retrieval", file, ["towers.num_epochs=2", "num_workers = 2", "features=def"])

    assert (spec.features, spec.num_workers, spec.towers.num_epochs, spec.towers.dropout) == ("def", 2, 2, 0.2)


def test_all_faults_are_told_at_once_with_what_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "spec.toml"
    file.write_text('colour = "red"\nnum_workers = 0\n[towers]\nepochs = 3\ndropout = "much"\n')

    with pytest.raises(InvalidSpec) as caught:
        load_spec("train_retrieval", file)

    told = str(caught.value)
    assert "colour: unknown key; allowed here are features, holdout_share" in told
    assert "towers.epochs: unknown key" in told
    assert "num_epochs" in told
    assert "num_workers: Input should be greater than or equal to 1, not 0" in told
    assert "towers.dropout" in told


def test_a_key_in_a_nested_table_of_the_pipeline_is_checked_too() -> None:
    with pytest.raises(
        InvalidSpec, match=r"train_retrieval\.towers\.speed: unknown key; allowed here are .*temperature"
    ):
        load_spec("pipeline", None, ["train_retrieval.towers.speed=3"])


@pytest.mark.parametrize(
    ("text", "told"),
    [("num_workers = ", "is no TOML"), ("\xff", "is no TOML"), (None, "cannot read")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "spec.toml"
    if text is not None:
        file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidSpec, match=told) as caught:
        load_spec("train_retrieval", file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("assignment", ["num_workers", "=3", "num_workers.x=3"])
def test_an_assignment_that_assigns_nothing_is_refused(tmp_path: Path, assignment: str) -> None:
    file = tmp_path / "spec.toml"
    file.write_text("num_workers = 1\n")
    with pytest.raises(InvalidSpec):
        load_spec("train_retrieval", file, [assignment])


def test_an_unknown_job_is_answered_with_the_ones_there_are() -> None:
    with pytest.raises(NotFound, match="train_retrieval"):
        load_spec("train_everything")


def test_what_is_submitted_is_the_same_spec_when_it_is_read_again() -> None:
    spec = load_spec("train_ranking", None, ['towers=it\'s "quoted"', "ranker.num_trees=7", "backend=xgboost-ray"])

    assigned = shlex.split(shlex.join(arguments_of(spec)))

    assert load_spec("train_ranking", None, [word.removeprefix("--set=") for word in assigned]) == spec


def test_forcing_is_no_part_of_what_a_spec_says() -> None:
    spec: BaseModel = load_spec("build_index", None, ["force=true"])
    assert spec.model_dump() == load_spec("build_index").model_dump()
    assert "--force" in arguments_of(load_spec("build_index", None, ["force=true"]))
