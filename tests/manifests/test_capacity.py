"""What Ray's autoscaler makes of the cluster is room for what the Serve config asks, and for jobs beside it."""

import math
from collections.abc import Callable

import pytest
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

from cluster.deploy import serve_config
from cluster.manifests import BATCH
from tests.manifests.conftest import OVERLAYS, Json, groups, ray_service

GIGABYTE = 10**9


def node_types(overlay: str) -> dict[str, Json]:
    """Ray's own reading of our resource, with its own code."""
    service = ray_service(overlay)
    cluster = {"metadata": {"name": "learnrec", "namespace": "learnrec"}, "spec": service["spec"]["rayClusterConfig"]}
    return _derive_autoscaling_config_from_ray_cr(cluster)["available_node_types"]


def replicas(count: Callable[[Json], int]) -> list[Json]:
    """What every replica asks for, as many as `count` says of each deployment."""
    (application,) = serve_config()["applications"]
    return [
        one["ray_actor_options"] for one in application["deployments"] for _ in range(count(one["autoscaling_config"]))
    ]


def nodes_for(wanted: list[Json], node: Json) -> int:
    tickets = sum(one["resources"]["serve"] for one in wanted) / node["serve"]
    memory = sum(one["memory"] for one in wanted) / node["memory"]
    return math.ceil(max(tickets, memory))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_first_replicas_fit_the_pods_that_are_always_there(overlay: str) -> None:
    serve = node_types(overlay)["serve"]
    assert nodes_for(replicas(lambda scaling: scaling["min_replicas"]), serve["resources"]) <= serve["min_workers"]


def test_in_production_all_replicas_fit_the_pods_there_may_be_and_a_rolling_update_beside_them() -> None:
    serve = node_types("production")["serve"]
    wanted = replicas(lambda scaling: math.ceil(scaling["max_replicas"] * 1.25))
    assert nodes_for(wanted, serve["resources"]) <= serve["max_workers"]


def test_in_production_a_machine_may_go_without_the_last_replica_of_a_stage() -> None:
    (application,) = serve_config()["applications"]
    assert all(one["autoscaling_config"]["min_replicas"] >= 2 for one in application["deployments"])
    assert node_types("production")["serve"]["min_workers"] >= 2


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_serving_and_jobs_have_nothing_that_the_other_could_take(overlay: str) -> None:
    types = {name: one["resources"] for name, one in node_types(overlay).items()}
    asked = replicas(lambda scaling: scaling["max_replicas"])
    assert all(one["num_cpus"] == 0 and one["resources"] == {"serve": 1} for one in asked)
    assert types["serve"]["CPU"] == 0
    assert not types.get(BATCH, {}).get("serve")
    (head,) = [one for name, one in types.items() if name not in ("serve", BATCH)]
    assert head["CPU"] == 0
    assert "serve" not in head


@pytest.mark.parametrize("overlay", ["dev", "production"])
def test_the_batch_group_is_there_only_while_a_job_runs(overlay: str) -> None:
    batch = node_types(overlay)[BATCH]
    assert batch["min_workers"] == 0 < batch["max_workers"]
    assert batch["resources"]["CPU"] >= 4


def test_in_production_ray_hands_out_no_memory_that_a_pod_lacks() -> None:
    serve = groups(ray_service("production")["spec"]["rayClusterConfig"])["serve"]
    limit = int(serve["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30
    store = int(serve["rayStartParams"]["object-store-memory"])
    daemons = 2 * GIGABYTE  # raylet, agents, HAProxy: 1.1 GB seen
    assert int(serve["resources"]["memory"]) + store + daemons <= limit
