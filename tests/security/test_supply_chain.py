"""What comes from others: locked with hashes, from one place, and judged by continuous integration."""

import json
import subprocess
import tomllib
from functools import cache
from typing import Any

import pytest
import yaml

from tests.unit.test_structure import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


@cache
def locked() -> list[dict[str, Any]]:
    return tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]


def test_every_file_that_may_be_installed_is_locked_with_its_hash() -> None:
    files = [file for one in locked() for file in (*one.get("wheels", ()), *([one["sdist"]] if "sdist" in one else ()))]
    assert len(files) > 500
    assert [file for file in files if not file.get("hash", "").startswith("sha256:")] == []


def test_everything_comes_from_one_registry_and_nothing_from_an_address_of_its_own() -> None:
    sources = {json.dumps(one["source"]) for one in locked() if one["name"] != "learnrec"}
    assert len(sources) == 1, f"dependency confusion begins with a second place to look in: {sources}"
    assert list(json.loads(sources.pop())) == ["registry"]


def test_no_dependency_is_taken_as_it_comes() -> None:
    """Names of the project's own dependencies and those of others: all of them have one version in the lock."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    assert "index" not in project["tool"].get("uv", {}), "a second index would be a second place to look in"
    assert all("version" in one for one in locked() if one["name"] != "learnrec")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_and_runs_nothing_that_a_stranger_wrote(path: Any) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    triggers = workflow[True]  # YAML's word `on`
    assert "pull_request_target" not in triggers
    assert "${{ github.event." not in path.read_text(), "titles and names of branches are a stranger's text"
    for job in workflow["jobs"].values():
        if job.get("uses", "").startswith("./.github/workflows/"):
            continue  # another one of ours
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            assert "uses" not in step or step["uses"].startswith("actions/"), "actions of GitHub's own only"


def test_the_audit_makes_a_bill_of_materials_and_asks_for_known_weaknesses() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "supply-chain.yml").read_text())
    steps = [step.get("run") for step in workflow["jobs"]["audit"]["steps"]]
    assert ".ci/audit" in steps
    script = (REPOSITORY / ".ci" / "audit").read_text()
    assert "cyclonedx" in script
    assert "pip-audit" in script
    subprocess.run(["bash", "-n", str(REPOSITORY / ".ci" / "audit")], check=True)
