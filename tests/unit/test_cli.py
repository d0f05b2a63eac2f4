"""The root of the command line: quick help, one line an error, exit codes that programs can rely on."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app.errors import InvalidInput, LearnrecError
from cluster.cli import root

HEAVY = {"ray", "tensorflow", "mlflow", "pymilvus", "xgboost", "pyarrow", "pandas"}


@pytest.fixture
def learnrec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("LEARNREC_VAR_DIR", str(tmp_path / "var"))
    return lambda *arguments: CliRunner().invoke(root.app, list(arguments), prog_name="learnrec")


def test_help_names_every_command(learnrec: Any) -> None:
    result = learnrec("--help")

    assert result.exit_code == 0
    assert all(name in result.stdout for name in root.COMMANDS)


@pytest.mark.parametrize("name", sorted(root.COMMANDS))
def test_every_command_has_a_help(name: str, learnrec: Any) -> None:
    result = learnrec(name, "--help")

    assert result.exit_code == 0, result.output
    assert f"learnrec {name}" in result.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["job", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys; sys.argv[1:] = {arguments}\nfrom cluster.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    )
    code += f"print('LOADED', sorted({HEAVY} & set(sys.modules)))"

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert out.splitlines()[-1] == "LOADED []"


def test_an_unknown_command_is_a_usage_error(learnrec: Any) -> None:
    result = learnrec("nonsense")

    assert result.exit_code == root.EXIT_INVALID
    assert "No such command 'nonsense'" in result.stderr


def test_an_environment_that_does_not_validate_names_the_variable(
    learnrec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNREC_HTTP_PORT", "high")

    result = learnrec("status")

    assert result.exit_code == root.EXIT_INVALID
    assert "LEARNREC_HTTP_PORT" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InvalidInput("k is 0: give 1 to 100"), root.EXIT_INVALID, "Error: k is 0: give 1 to 100\n"),
        (LearnrecError("Redis is away"), root.EXIT_FAILED, "Error: Redis is away\n"),
        (KeyboardInterrupt(), root.EXIT_INTERRUPTED, "Error: interrupted\n"),
        (ZeroDivisionError("division by zero"), root.EXIT_FAILED, "ZeroDivisionError"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert root.complain(error) == code

    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) == 1


def test_debug_shows_where_an_error_was_raised(learnrec: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEARNREC_HTTP_PORT", "high")

    result = learnrec("--debug", "status")

    assert isinstance(result.exception, InvalidInput)
