"""Every manifest is what Kubernetes and KubeRay take, and nothing in it is misspelt."""

import copy
from collections.abc import Callable

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from tests.manifests.conftest import OVERLAYS, REPOSITORY, Json, built, ray_service

UNKNOWN = {"ExternalSecret"}
"""Kinds of operators whose schemas are not to be had here."""

VERSION = "1.33"


def name(document: Json) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_api_server_takes_every_document(overlay: str) -> None:
    documents = [one for one in built(overlay) if not one["apiVersion"].startswith("ray.io/")]
    documents = [one for one in documents if one["kind"] not in UNKNOWN]
    assert len(documents) > 10
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kuberay_takes_every_document(overlay: str, ray_schema: Callable[[str], Draft202012Validator]) -> None:
    documents = [one for one in built(overlay) if one["apiVersion"].startswith("ray.io/")]
    assert documents
    for document in documents:
        ray_schema(document["kind"]).validate(document)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pods_inside_ray_s_kinds_are_pods(overlay: str) -> None:
    """KubeRay's schemas are of one version of Kubernetes; these are of the one that we run on."""
    cluster = ray_service(overlay)["spec"]["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        template = group["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any", **template["metadata"]}}
        kubernetes_validate.validate(pod | {"spec": template["spec"]}, VERSION, strict=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(upgradeStrategie={}),
        lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].update(minReplica=1),
        lambda spec: spec["rayClusterConfig"]["headGroupSpec"]["template"]["spec"].update(restartpolicy="Never"),
        lambda spec: spec["rayClusterConfig"]["authOptions"].update(mode="tokens"),
    ],
)
def test_a_mistake_would_be_seen(
    spoil: Callable[[Json], None], ray_schema: Callable[[str], Draft202012Validator]
) -> None:
    document = copy.deepcopy(ray_service("production"))
    spoil(document["spec"])
    with pytest.raises(ValidationError):
        ray_schema("RayService").validate(document)


def test_every_object_of_a_file_is_in_an_overlay() -> None:
    built_names = {name(document) for overlay in OVERLAYS for document in built(overlay)}
    for path in sorted((REPOSITORY / "kuberay").glob("[bj]*/*.yaml")):
        objects = [
            one for one in yaml.safe_load_all(path.read_text()) if one.get("kind") not in ("Kustomization", "Component")
        ]
        for document in (one for one in objects if "metadata" in one):
            assert name(document) in built_names, f"{path}: nothing applies this"
