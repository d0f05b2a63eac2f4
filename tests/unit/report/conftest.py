"""A small split, its lists and its items, made once."""

from pathlib import Path

import pytest

from jobs.report.make import Asked, make_report
from jobs.report.report import Report
from tests.unit.report.splits import write_items, write_lists, write_split


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("report")
    split = write_split(folder / "split")
    return Asked(split, write_lists(folder / "mine.parquet", split), write_items(folder / "items.csv"))


@pytest.fixture(scope="session")
def report(asked: Asked) -> Report:
    return make_report(asked, lambda _: None)


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """One that a test may spoil."""
    return write_split(tmp_path / "split")
