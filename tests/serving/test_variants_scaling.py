"""Each deployment grows by its own load: a slow ranker makes more rankers, and nothing else."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from cluster.bench.faults import Fault, Victim, befallen
from cluster.deploy import deploy, local_config, serve_config
from tests.serving.conftest import House
from tests.serving.test_swap import Load
from tests.serving.waiting import until

STAGES = ("Ingress", "Embedder", "Retriever", "Ranker")
QUICK = {
    "min_replicas": 1,
    "max_replicas": 2,
    "upscale_delay_s": 2,
    "downscale_delay_s": 4,
    "look_back_period_s": 2,
    "metrics_interval_s": 0.5,
}


@pytest.fixture
def scaled(served: House) -> Iterator[House]:
    """The targets are production's, the delays are not."""
    config = local_config(served.settings)
    production = {d["name"]: d["autoscaling_config"] for d in serve_config()["applications"][0]["deployments"]}
    for deployment in config["applications"][0]["deployments"]:
        del deployment["num_replicas"]
        deployment["autoscaling_config"] = {**production[deployment["name"]], **QUICK}
    deploy(served.settings, config)
    until(lambda: served.health()["ready"], seconds=60)
    yield served
    deploy(served.settings)
    until(lambda: served.health()["ready"] and counts(served) == dict.fromkeys(STAGES, 1), seconds=120)


def counts(house: House) -> dict[str, int]:
    return {name: len(house.replicas(f"ServeReplica:learnrec:{name}")) for name in STAGES}


@contextmanager
def most_seen(house: House) -> Iterator[dict[str, int]]:
    """The most replicas of each that there were at once, meanwhile."""
    most, ended = counts(house), threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            for name, number in counts(house).items():
                most[name] = max(most[name], number)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


@pytest.mark.slow
def test_only_what_is_slow_grows_and_it_shrinks_back(scaled: House) -> None:
    slow: list[psutil.Process] = scaled.replicas("ServeReplica:learnrec:Ranker")
    ranker = Victim("Ranker", "ranker", lambda: slow, revive=lambda: None)
    with most_seen(scaled) as most:
        with Load(scaled, num_threads=12) as load, befallen(ranker, Fault.THROTTLED):
            until(lambda: counts(scaled)["Ranker"] == 2, seconds=60)
            seen = len(load.answers)
            until(lambda: len(load.answers) > seen + 50, seconds=60)
        assert not load.errors
        until(lambda: counts(scaled)["Ranker"] == 1, seconds=90)
    assert most == {"Ingress": 1, "Embedder": 1, "Retriever": 1, "Ranker": 2}
