"""`learnrec evaluate report`, whole: files, table, and what it says when it cannot."""

from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from typer.testing import CliRunner

from app.errors import InvalidInput
from cluster.cli import root
from jobs.report.make import Asked
from tests.unit.report.splits import write_lists, write_split

QUICK = ("--baseline", "popular", "--baseline", "markov")


@pytest.fixture
def learnrec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("LEARNREC_VAR_DIR", str(tmp_path / "var"))
    monkeypatch.delenv("LEARNREC_MLFLOW_URI", raising=False)
    return lambda *arguments: CliRunner().invoke(
        root.app, ["evaluate", "report", *map(str, arguments)], prog_name="learnrec"
    )


def test_a_report_is_a_table_a_page_and_json(learnrec: Any, asked: Asked, tmp_path: Path) -> None:
    out = tmp_path / "out"

    result = learnrec(asked.split, asked.lists, "--items", asked.items, "--out", out, *QUICK)

    assert result.exit_code == 0, result.output
    said = orjson.loads((out / "report.json").read_bytes())
    assert [m["name"] for m in said["models"]] == ["lists", "popular", "markov"]
    for model in said["models"]:
        found = model["metrics"]["ndcg@10"]
        row = next(line for line in result.stdout.splitlines() if line.strip().startswith(model["label"] + " "))
        assert f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]" in row
    assert "the ranker adds" in result.stdout
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert "report: Markov (3/5)" in result.stderr


def test_the_folder_is_named_for_the_lists(learnrec: Any, tmp_path: Path) -> None:
    split = write_split(tmp_path / "split")
    lists = write_lists(tmp_path / "mine.parquet", split)

    for _ in range(2):
        result = learnrec(split, lists, *QUICK)
        assert result.exit_code == 0, result.output

    assert sorted(p.name for p in (tmp_path / "mine-report").iterdir()) == ["report.html", "report.json"]


def test_a_run_that_was_asked_for_needs_an_address(learnrec: Any, asked: Asked, tmp_path: Path) -> None:
    result = learnrec(asked.split, asked.lists, "--out", tmp_path / "out", "--mlflow", *QUICK)

    assert result.exit_code == root.EXIT_INVALID
    assert "no address for mlflow_uri" in result.stderr


def test_a_server_that_does_not_answer_costs_nothing_but_a_word(
    learnrec: Any, asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    monkeypatch.setenv("LEARNREC_MLFLOW_URI", refused)

    result = learnrec(asked.split, asked.lists, "--out", tmp_path / "out", *QUICK)

    assert result.exit_code == 0, result.output
    assert "not logged: mlflow does not answer" in result.stderr
    assert (tmp_path / "out" / "report.html").exists()


@pytest.fixture
def refused() -> str:
    """An address that no client can speak to, so that no socket is needed to find out."""
    return "nonsense://nowhere"


@pytest.mark.parametrize("spoiled", ["lists", "split", "baseline"])
def test_what_the_caller_can_correct_is_exit_code_2(learnrec: Any, tmp_path: Path, spoiled: str) -> None:
    split = write_split(tmp_path / "split")
    lists = write_lists(tmp_path / "mine.parquet", split)
    if spoiled == "lists":
        pl.read_parquet(lists).drop("rank").write_parquet(lists)
    if spoiled == "split":
        (split / "test.csv").unlink()

    result = learnrec(split, lists, "--baseline", "oracle" if spoiled == "baseline" else "popular")

    assert result.exit_code == root.EXIT_INVALID
    assert isinstance(result.exception, SystemExit | InvalidInput)
    assert {"lists": "lacks rank", "split": "test.csv", "baseline": "'oracle'"}[spoiled] in result.stderr
    assert "Traceback" not in result.output
