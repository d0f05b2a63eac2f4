"""The stores of a development cluster are where the service's settings look for them."""

import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml

from tests.manifests.conftest import REPOSITORY
from tests.manifests.test_agreement import found, port_of, settings_of
from tests.manifests.test_schemas import VERSION

SERVICES = REPOSITORY / "kuberay" / "services"
OPERATORS = {"Kafka", "KafkaNodePool"}
"""Kinds whose schemas are not to be had here."""


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", SERVICES], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


def test_the_api_server_takes_the_plain_manifests(documents: list[dict[str, Any]]) -> None:
    plain = [document for document in documents if document["kind"] not in OPERATORS]
    assert len(plain) == 5
    for document in plain:
        kubernetes_validate.validate(document, VERSION, strict=True)


def test_every_chart_is_pinned_and_its_values_are_there() -> None:
    helmfile = yaml.safe_load((SERVICES / "helmfile.yaml").read_text())
    repositories = {one["name"] for one in helmfile["repositories"]}
    for release in helmfile["releases"]:
        assert release["chart"].partition("/")[0] in repositories
        assert release["version"]
        assert all(yaml.safe_load((SERVICES / name).read_text()) for name in release.get("values", ()))


def test_settings_lead_to_these_stores(documents: list[dict[str, Any]]) -> None:
    helmfile = yaml.safe_load((SERVICES / "helmfile.yaml").read_text())
    there = {one["metadata"]["name"] for one in documents if one["kind"] == "Service"}
    there |= {release["name"] for release in helmfile["releases"] if release["namespace"] == "learnrec-services"}
    there |= {f"{one['metadata']['name']}-kafka-bootstrap" for one in documents if one["kind"] == "Kafka"}
    for name, value in settings_of("dev").items():
        address = value.partition("endpoint_override=")[2] or value
        host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
        if host.endswith(".learnrec-services"):
            assert host.partition(".")[0] in there, f"{name} leads nowhere"


def test_mlflow_listens_to_the_name_that_it_is_called_by(documents: list[dict[str, Any]]) -> None:
    (arguments,) = [one for document in documents for one in found(document, "args") if "--workers=1" in one]
    (allowed,) = [one.partition("=")[2].split(",") for one in arguments if one.startswith("--allowed-hosts")]
    address = settings_of("dev")["LEARNREC_MLFLOW_URI"]
    assert urlsplit(address).netloc in allowed
    assert port_of(address) == 5000
