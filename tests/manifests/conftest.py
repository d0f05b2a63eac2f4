"""What Kustomize builds, and the schemas it is held against; nothing here starts Ray or needs a network."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

REPOSITORY = Path(__file__).resolve().parents[2]
OVERLAYS = ("dev", "production", "production-jobs-apart")
CRDS = REPOSITORY.parent / "shared" / "kuberay-crds"

Json = dict[str, Any]


@cache
def built(overlay: str) -> tuple[Json, ...]:
    """The documents of an overlay, as `kubectl apply -k` would send them."""
    kubectl = Path(sys.executable).with_name("kubectl")
    folder = REPOSITORY / "kuberay" / "overlays" / overlay
    done = subprocess.run([kubectl, "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, yaml.CSafeLoader))


def of_kind(overlay: str, kind: str) -> list[Json]:
    return [document for document in built(overlay) if document["kind"] == kind]


def ray_service(overlay: str) -> Json:
    (only,) = of_kind(overlay, "RayService")
    return only


def groups(cluster: Json) -> dict[str, Json]:
    """The head, and the worker groups by name."""
    return {"head": cluster["headGroupSpec"], **{group["groupName"]: group for group in cluster["workerGroupSpecs"]}}


def clusters(overlay: str) -> list[Json]:
    """Of the service and of the jobs."""
    jobs = [job["spec"]["jobTemplate"]["rayClusterSpec"] for job in of_kind(overlay, "RayCronJob")]
    return [ray_service(overlay)["spec"]["rayClusterConfig"], *jobs]


@pytest.fixture(scope="session")
def ray_schema() -> Callable[[str], Draft202012Validator]:
    """The schema of one of KubeRay's kinds, closed: what it does not name is an error, as a typing mistake would be."""

    @cache
    def find(kind: str) -> Draft202012Validator:
        path = CRDS / f"ray.io_{kind.lower()}s.yaml"
        if not path.exists() and os.environ.get("CI") != "true":
            pytest.skip(f"KubeRay's schemas are not at {CRDS}")
        versions = yaml.load(path.read_text(), yaml.CSafeLoader)["spec"]["versions"]
        (schema,) = [one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1"]
        schema["properties"]["metadata"] = {"type": "object", "additionalProperties": True}
        return Draft202012Validator(_closed(schema))  # checked by whoever released it

    return find


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: _closed(part) for name, part in schema.items()}
    named = isinstance(schema.get("properties"), dict)
    open_ = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    return inside | {"additionalProperties": False} if named and not open_ else inside
