"""What the manifests say twice, or what code says too, is the same: versions, environment, names, addresses, limits."""

import re
import tomllib
from importlib import import_module
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from ray._private.ray_constants import RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S

from app.serving.access import ACCESS, PUBLIC
from app.serving.arguments import GraphArguments
from app.serving.gate import MAX_BODY_BYTES
from app.serving.graph import build
from app.settings import PROCESS_ENVIRONMENT, Settings
from cluster.deploy import serve_config
from tests.manifests.conftest import OVERLAYS, REPOSITORY, Json, built, clusters, groups, of_kind, ray_service


def locked(package: str) -> str:
    packages = tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    (found,) = [one["version"] for one in packages if one["name"] == package]
    return found


def texts(value: Any) -> list[str]:
    """Every string in a document."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts(part)]
    return [value] if isinstance(value, str) else []


def found(value: Any, key: str) -> list[Any]:
    """What stands under `key`, anywhere in a document."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    here = [value[key]] if isinstance(value, dict) and key in value else []
    return here + [one for part in parts for one in found(part, key)]


def settings_of(overlay: str) -> dict[str, str]:
    (only,) = of_kind(overlay, "ConfigMap")
    return only["data"]


def test_ray_is_one_version() -> None:
    assert locked("ray") == version("ray")
    for overlay in OVERLAYS:
        assert {cluster["rayVersion"] for cluster in clusters(overlay)} == {locked("ray")}
        images = {text for one in built(overlay) for text in found(one, "image")}
        assert len(images) == 1, "one image for the service and for jobs"
        assert images.pop().endswith(f"learnrec:{version('learnrec')}-ray{locked('ray')}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_ray_pod_has_the_environment_of_every_process(overlay: str) -> None:
    for cluster in clusters(overlay):
        for group in groups(cluster).values():
            (container,) = group["template"]["spec"]["containers"]
            assert {one["name"]: one["value"] for one in container["env"]} == PROCESS_ENVIRONMENT
    assert {PROCESS_ENVIRONMENT[f"RAY_SERVE_{name}"] for name in ("THROUGHPUT_OPTIMIZED", "ENABLE_HA_PROXY")} == {"1"}


def test_the_serve_config_names_what_the_code_has() -> None:
    (application,) = serve_config()["applications"]
    module, _, name = application["import_path"].partition(":")
    assert getattr(import_module(module), name) is build
    graph = build(GraphArguments.model_validate(application["args"]))
    names, todo = set[str](), list[Any]([graph])
    while todo:
        bound = todo.pop()
        names.add(bound._bound_deployment.name)
        arguments = (*bound._bound_deployment.init_args, *bound._bound_deployment.init_kwargs.values())
        todo += [one for one in arguments if hasattr(one, "_bound_deployment")]
    assert {deployment["name"] for deployment in application["deployments"]} == names


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_leave_the_serve_config_as_it_is(overlay: str) -> None:
    assert yaml.safe_load(ray_service(overlay)["spec"]["serveConfigV2"]) == serve_config()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_settings_are_settings(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = settings_of(overlay)
    assert all(name.removeprefix("LEARNREC_").lower() in Settings.model_fields for name in data)
    for name, value in data.items():
        monkeypatch.setenv(name, value)
    assert Settings().retrieval_backend == "milvus"
    secret = ("POSTGRES_URL", "REDIS_URL", "PASSWORD", "TOKEN")
    assert not [name for name in data if name.endswith(secret)], "these belong into the secret"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_is_referred_to_is_there(overlay: str) -> None:
    documents = built(overlay)
    there = {(one["kind"], one["metadata"]["name"]) for one in documents}
    for one in documents:
        for account in found(one, "serviceAccountName"):
            assert ("ServiceAccount", account) in there
        for reference in found(one, "configMapRef"):
            assert ("ConfigMap", reference["name"]) in there
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "learnrec"


def secrets_of(overlay: str) -> set[str]:
    used = [
        one for document in built(overlay) for one in (*found(document, "secretRef"), *found(document, "secretKeyRef"))
    ]
    tokens = {cluster["authOptions"]["secretName"] for cluster in clusters(overlay)}
    return {one["name"] for one in used} | tokens


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_secrets_are_referred_to_and_come_from_elsewhere(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")
    if overlay.startswith("production"):
        assert secrets_of(overlay) == {one["spec"]["target"]["name"] for one in of_kind(overlay, "ExternalSecret")}
    told = (REPOSITORY / "docs" / "kubernetes.md").read_text()
    assert all(f"secret generic {secret}" in told for secret in secrets_of(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_pods(overlay: str) -> None:
    labels = [labels for one in built(overlay) for labels in found(one, "labels")]
    values = {one["learnrec/component"] for one in labels if "learnrec/component" in one}
    for one in (*of_kind(overlay, "NetworkPolicy"), *of_kind(overlay, "PodDisruptionBudget")):
        asked = {labels["learnrec/component"] for labels in found(one, "matchLabels") if "learnrec/component" in labels}
        assert asked <= values, one["metadata"]["name"]
        for expression in (part for parts in found(one, "matchExpressions") for part in parts):
            assert set(expression["values"]) >= asked
            assert set(expression["values"]) - {"batch"} <= values


def port_of(address: str) -> int:
    parts = urlsplit(address if "://" in address else f"//{address}")
    override = re.search(r"endpoint_override=[^&]*?:(\d+)", address)
    return int(override[1]) if override else parts.port or 443


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_lets_through_to_every_address(overlay: str) -> None:
    (stores,) = [one for one in of_kind(overlay, "NetworkPolicy") if one["metadata"]["name"] == "stores"]
    open_ = {port["port"] for rule in stores["spec"]["egress"] for port in rule["ports"]}
    addresses = {
        name: value for name, value in settings_of(overlay).items() if re.search("(URI|SERVERS|STORE|URL)$", name)
    }
    in_cluster = {name: value for name, value in addresses.items() if overlay != "dev" or "JWKS" not in name}
    assert len(in_cluster) >= 4
    asked = {port_of(address) for value in in_cluster.values() for address in value.split(",")}
    assert asked <= open_ | {443}
    assert {5432, 6379} <= open_
    redis = ray_service(overlay)["spec"]["rayClusterConfig"]["gcsFaultToleranceOptions"]["redisAddress"]
    assert port_of(redis) in open_


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_everything_is_denied_first(overlay: str) -> None:
    (first,) = [one for one in of_kind(overlay, "NetworkPolicy") if one["metadata"]["name"] == "default-deny"]
    assert first["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_ingress_leads_to_every_route_but_metrics(overlay: str) -> None:
    (ingress,) = of_kind(overlay, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    paths = {path["path"]: path for path in rule["http"]["paths"]}
    routes = {path for _, path in (*ACCESS, *PUBLIC)}

    def reaches(path: Json, route: str) -> bool:
        whole = route == path["path"]
        return whole or (path["pathType"] == "Prefix" and route.startswith(path["path"] + "/"))

    lost = {route for route in routes if not any(reaches(path, route) for path in paths.values())}
    assert lost == {"/metrics"}, "kuberay/base/ingress.yaml names what is open, production's gateway.yaml leads it"
    assert all(any(reaches(path, route) for route in routes) for path in paths.values())
    assert len({path["backend"]["service"]["name"] for path in paths.values()}) == 1
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]


def test_the_ingress_is_as_patient_and_as_strict_as_the_service() -> None:
    (ingress,) = of_kind("production", "Ingress")
    said = {name.rpartition("/")[2]: value for name, value in ingress["metadata"]["annotations"].items()}
    assert said["proxy-body-size"] == "1m"
    assert MAX_BODY_BYTES == 2**20
    assert int(said["proxy-read-timeout"]) > serve_config()["http_options"]["request_timeout_s"]
    assert {"limit-rps", "limit-connections"} <= said.keys()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_have_the_time_that_serve_and_ray_take_to_end(overlay: str) -> None:
    (application,) = serve_config()["applications"]
    longest = max(one.get("graceful_shutdown_timeout_s", 20) for one in application["deployments"])
    for cluster in clusters(overlay):
        for group in groups(cluster).values():
            grace = group["template"]["spec"]["terminationGracePeriodSeconds"]
            assert grace >= max(90, longest + float(RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_is_root(overlay: str) -> None:
    for one in built(overlay):
        for spec in (spec for spec in found(one, "spec") if "containers" in spec):
            assert spec["securityContext"]["runAsNonRoot"]
            assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
            for container in (*spec.get("initContainers", ()), *spec["containers"]):
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
