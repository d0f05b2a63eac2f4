"""The Serve config says what the code can do, and the local one is the same, smaller."""

import inspect
from importlib import import_module
from typing import Any

from ray.serve.schema import ServeDeploySchema

from app.serving.arguments import GraphArguments
from app.settings import Settings
from cluster.deploy import local_config, serve_config

DEPLOYMENTS = {"Ingress", "Embedder", "Retriever", "Ranker"}


def application(config: dict[str, Any]) -> dict[str, Any]:
    (only,) = config["applications"]
    return only


def test_serve_accepts_both_configs() -> None:
    ServeDeploySchema.model_validate(serve_config())
    ServeDeploySchema.model_validate(local_config(Settings()))


def test_the_import_path_leads_to_a_builder_that_takes_these_arguments() -> None:
    module, _, name = application(serve_config())["import_path"].partition(":")
    builder = getattr(import_module(module), name)
    (argument,) = inspect.signature(builder).parameters.values()
    assert argument.annotation is GraphArguments  # a string here would reach the builder as a plain dict
    assert set(application(serve_config())["args"]) == set(GraphArguments.model_fields)
    GraphArguments.model_validate(application(serve_config())["args"])


def test_every_deployment_of_the_graph_has_its_own_autoscaling_and_the_ingress_never_sleeps() -> None:
    deployments = {d["name"]: d for d in application(serve_config())["deployments"]}
    assert deployments.keys() == DEPLOYMENTS
    assert all(
        d["autoscaling_config"]["max_replicas"] > d["autoscaling_config"]["min_replicas"] > 0
        for d in deployments.values()
    )


def test_the_ingress_takes_all_that_may_wait_or_travel() -> None:
    args = GraphArguments.model_validate(application(serve_config())["args"])
    ingress = next(d for d in application(serve_config())["deployments"] if d["name"] == "Ingress")
    assert ingress["max_ongoing_requests"] >= args.max_waiting + args.max_batch * args.max_in_flight


def test_the_local_config_differs_in_size_and_address_only() -> None:
    local, whole = local_config(Settings(http_host="127.0.0.1", http_port=8123)), serve_config()
    assert (local["http_options"]["host"], local["http_options"]["port"]) == ("127.0.0.1", 8123)
    for small, large in zip(application(local)["deployments"], application(whole)["deployments"], strict=True):
        assert small["num_replicas"] == 1
        changed = {"num_replicas", "autoscaling_config", "ray_actor_options"}
        assert {k: v for k, v in small.items() if k not in changed} == {
            k: v for k, v in large.items() if k not in changed
        }
