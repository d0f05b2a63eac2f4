"""The image and the stack of containers on one machine: linted, pinned, with the names and values of the code."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from app.settings import PROCESS_ENVIRONMENT, Settings
from cluster.cli.root import COMMANDS
from tests.manifests.conftest import REPOSITORY
from tests.manifests.test_agreement import locked, texts

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_has_nothing_that_its_linter_minds() -> None:
    run("hadolint", "Dockerfile")


def test_compose_takes_its_file() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_the_image_is_of_the_versions_that_the_code_asks_for() -> None:
    assert re.findall(r'ray\.version="(.*?)"', DOCKERFILE) == [locked("ray")]
    asked = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["requires-python"]
    (python,) = re.findall(r"^ARG PYTHON=(\d+\.\d+)\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)
    assert asked == ">=3.11,<3.13"
    assert python in ("3.11", "3.12")
    assert {one["image"] for one in SERVICES.values() if one.get("build")} == {
        f"learnrec:{version('learnrec')}-ray{locked('ray')}"
    }


def test_the_image_runs_as_nobody_special() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\S+)$", last, re.MULTILINE) == ["1000"]


def test_what_the_image_is_made_of_is_there_and_reaches_the_builder() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in lines, "all else is left out"
    copied = [word for line in re.findall(r"^COPY (?!--)(.*)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]]
    assert "uv.lock" in copied
    for name in copied:
        path = REPOSITORY / name
        some = next(path.rglob("*.*")) if path.is_dir() else path
        assert some.exists()
        assert f"!{name}" in lines, f"{name} does not reach the builder"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.search(r"\d+\.\d+|RELEASE\.\d{4}", tag), "an exact tag: others move"


def test_the_service_has_the_environment_of_every_process_and_addresses_that_are_services() -> None:
    environment = SERVICES["learnrec"]["environment"]
    own = {name: value for name, value in environment.items() if name.startswith("LEARNREC_")}
    assert {k: v for k, v in environment.items() if k in PROCESS_ENVIRONMENT} == PROCESS_ENVIRONMENT
    assert all(name.removeprefix("LEARNREC_").lower() in Settings.model_fields for name in own)
    for name, value in own.items():
        endpoint = re.search(r"endpoint_override=([^&]+)", value)
        address = endpoint[1] if endpoint else value
        if name.endswith(("URL", "URI", "SERVERS", "STORE")):
            address = re.sub(r"\$\{.*?\}", "password", address)
            host = urlsplit(address if "://" in address else f"//{address}").hostname
            assert host in SERVICES, f"{name} leads nowhere"


def test_every_password_is_asked_for_and_none_is_written_down() -> None:
    asked = {match for text in texts(COMPOSE) for match in re.findall(r"\$\{(\w+):\?", text)}
    lines = (REPOSITORY / "deploy" / "compose.env.example").read_text().splitlines()
    assert asked == {line.partition("=")[0] for line in lines if "=" in line}
    assert "/.env" in (REPOSITORY / ".gitignore").read_text().splitlines()


def test_only_this_machine_reaches_what_is_published() -> None:
    assert all(port.startswith("127.0.0.1:") for one in SERVICES.values() for port in one.get("ports", ()))


def test_who_waits_for_a_healthy_service_waits_for_one_that_can_be() -> None:
    for one in SERVICES.values():
        for name, how in one.get("depends_on", {}).items():
            assert how["condition"] == "service_completed_successfully" or "healthcheck" in SERVICES[name]


def test_our_commands_exist() -> None:
    (script,) = SERVICES["learnrec"]["command"][2:]
    assert {words.split()[1] for words in re.findall(r"learnrec \w+", script)} <= COMMANDS.keys()
    assert "schedule" in script
