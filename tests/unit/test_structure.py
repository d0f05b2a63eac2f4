"""The habits of the house that no tool checks: where a thing may stand, and how long a file may be."""

import ast
import io
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = ("app", "jobs", "cluster")
MAX_LINES = 300  # a file has fewer
MAX_FUNCTION_LINES = 40

REMOTE_CALLS = {"app/serving/calls.py", "jobs/ray_session.py"}
RAY_INIT = {"jobs/ray_session.py"}
ENVIRONMENT = {"app/settings.py", "cluster/stack/engines/mlflow_server.py"}  # the second writes what MLflow tells it to
RAY_AND_FASTAPI = ("app/serving/", "jobs/", "cluster/")


def files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((REPOSITORY / folder).rglob("*.py"))


def name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def attributes(path: Path, owner: str, attribute: str) -> list[int]:
    """Lines that use `owner.attribute`."""
    return [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and node.attr == attribute
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
    ]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Lines and top-level names of what a file imports, anywhere in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module.partition(".")[0]


def told(found: dict[str, list[int]]) -> str:
    return ", ".join(f"{path}:{line}" for path, lines in found.items() for line in lines)


def test_files_are_under_300_lines() -> None:
    long = {name(path): len(path.read_text().splitlines()) for path in files(*SOURCE, "tests")}
    long = {path: lines for path, lines in long.items() if lines >= MAX_LINES}
    assert not long, f"split these by role, they have {MAX_LINES} lines or more: {long}"


def test_functions_are_under_40_lines() -> None:
    long = {
        f"{name(path)}:{node.lineno} {node.name}": length
        for path in files(*SOURCE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := _body_length(node)) > MAX_FUNCTION_LINES
    }
    assert not long, f"name the parts of these functions, they have over {MAX_FUNCTION_LINES} lines: {long}"


def _body_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its signature and docstring."""
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return (node.end_lineno or 0) - first.lineno + 1


@pytest.mark.parametrize(
    ("owner", "attribute", "allowed"),
    [("ray", "init", RAY_INIT), ("os", "environ", ENVIRONMENT), ("os", "getenv", ENVIRONMENT)],
)
def test_has_one_home(owner: str, attribute: str, allowed: set[str]) -> None:
    found = {name(path): lines for path in files(*SOURCE) if (lines := attributes(path, owner, attribute))}
    elsewhere = {path: lines for path, lines in found.items() if path not in allowed}
    assert not elsewhere, f"{owner}.{attribute} belongs in {sorted(allowed)}, but is in {told(elsewhere)}"


def test_environ_is_not_imported_by_name() -> None:
    found = {
        name(path): [node.lineno]
        for path in files(*SOURCE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom)
        and node.module == "os"
        and any(alias.name in ("environ", "getenv") for alias in node.names)
    }
    assert not found, f"read the environment through app/settings.py, not in {told(found)}"


def test_remote_calls_have_one_home() -> None:
    found = {
        name(path): lines
        for path in files(*SOURCE)
        if name(path) not in REMOTE_CALLS
        and (
            lines := [
                node.lineno
                for node in ast.walk(tree(path))
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "remote"
            ]
        )
    }
    assert not found, f"`.remote(` belongs in {sorted(REMOTE_CALLS)}, but is in {told(found)}"


def test_ray_and_fastapi_stay_at_the_edge() -> None:
    found = {
        name(path): lines
        for path in files(*SOURCE)
        if not name(path).startswith(RAY_AND_FASTAPI)
        and (lines := [line for line, module in imports(path) if module in ("ray", "fastapi", "starlette")])
    }
    assert not found, f"Ray and FastAPI belong in {', '.join(RAY_AND_FASTAPI)}, but are imported in {told(found)}"


def test_annotations_are_not_postponed() -> None:
    found = {
        name(path): lines
        for path in files(*SOURCE, "tests")
        if (lines := [line for line, module in imports(path) if module == "__future__"])
    }
    assert not found, f"Serve's typed builders turn into dicts with `from __future__ import annotations`: {told(found)}"


def test_nothing_is_left_to_do() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" * 3)
    found = {
        name(path): lines
        for path in files(*SOURCE, "tests")
        if (lines := [line for line, text in _comments(path) if any(word in text for word in words)])
    }
    assert not found, f"do it now, or open an issue, but leave no note in {told(found)}"


def _comments(path: Path) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            yield token.start[0], token.string


def test_every_module_says_what_it_is() -> None:
    silent = [name(path) for path in files(*SOURCE) if tree(path).body and not ast.get_docstring(tree(path))]
    assert not silent, f"a module's first line says what it is; these say nothing: {silent}"
