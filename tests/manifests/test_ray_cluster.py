"""The cluster of `ray up` is one that Ray takes, with the environment, the image and the room of the others."""

import shlex
from typing import Any

import pytest
import yaml
from jsonschema import ValidationError
from ray.autoscaler._private.util import fillout_defaults, validate_config

from app.settings import PROCESS_ENVIRONMENT
from cluster.deploy import serve_config
from tests.manifests.conftest import REPOSITORY, of_kind
from tests.manifests.test_agreement import found

CONFIG: dict[str, Any] = yaml.safe_load((REPOSITORY / "ray_cluster.yaml").read_text())
TYPES: dict[str, dict[str, Any]] = CONFIG["available_node_types"]


def test_ray_takes_it() -> None:
    validate_config(fillout_defaults(CONFIG))


def test_ray_would_refuse_a_misspelt_one() -> None:
    with pytest.raises(ValidationError, match="max_worker"):
        validate_config(CONFIG | {"max_worker": 1})


def test_every_node_has_the_environment_of_every_process() -> None:
    given = [option.partition(" ") for option in CONFIG["docker"]["run_options"]]
    environment = dict(value.split("=", 1) for option, _, value in given if option == "--env")
    assert environment == PROCESS_ENVIRONMENT | {"RAY_AUTH_MODE": "token"}


def test_it_is_the_image_of_the_service() -> None:
    assert {CONFIG["docker"]["image"]} == {
        image for one in of_kind("production", "RayService") for image in found(one, "image")
    }


def test_replicas_fit_and_nothing_else_stands_in_their_place() -> None:
    (application,) = serve_config()["applications"]
    serve = TYPES["serve"]
    for bound, nodes in (("min_replicas", serve["min_workers"]), ("max_replicas", serve["max_workers"])):
        asked = [
            one["ray_actor_options"]
            for one in application["deployments"]
            for _ in range(one["autoscaling_config"][bound])
        ]
        assert sum(one["resources"]["serve"] for one in asked) <= nodes * serve["resources"]["serve"]
        assert sum(one["memory"] for one in asked) <= nodes * serve["resources"]["memory"]
    assert serve["resources"]["CPU"] == TYPES["head"]["resources"]["CPU"] == 0


def test_what_serves_is_never_reclaimed_and_what_trains_may_be() -> None:
    spot = {name for name, one in TYPES.items() if one["node_config"].get("InstanceMarketOptions")}
    assert spot == {"train", "tune"}
    assert all(TYPES[name]["min_workers"] == 0 for name in spot)
    workers = [one for name, one in TYPES.items() if name != CONFIG["head_node_type"]]
    assert CONFIG["max_workers"] == sum(one["max_workers"] for one in workers)


def test_ray_is_started_as_ray_start_takes_it() -> None:
    from ray.scripts.scripts import start

    for commands in (CONFIG["head_start_ray_commands"], CONFIG["worker_start_ray_commands"]):
        first, second = (shlex.split(command) for command in commands)
        assert first == ["ray", "stop"]
        assert second[:2] == ["ray", "start"]
        start.make_context("start", second[2:])
