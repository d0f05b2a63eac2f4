"""Other ways to run the same graph: FAISS as the index of choice, two replicas of a stage. Put back afterwards."""

from collections.abc import Iterator

import pytest

from cluster.deploy import deploy, local_config
from tests.serving.asking import ask, frozen, is_whole
from tests.serving.conftest import House
from tests.serving.tiny import FIRST, SECOND
from tests.serving.waiting import until


@pytest.fixture(scope="module")
def varied(served: House) -> Iterator[House]:
    """Only what changes is made anew: one Retriever, and one more Ranker."""
    config = local_config(served.settings)
    deployments = {deployment["name"]: deployment for deployment in config["applications"][0]["deployments"]}
    chosen = {"env_vars": {"LEARNREC_RETRIEVAL_BACKEND": "faiss"}}
    deployments["Retriever"]["ray_actor_options"]["runtime_env"] = chosen
    deployments["Ranker"]["num_replicas"] = 2
    deploy(served.settings, config)
    until(lambda: stands(served, milvus="unused", rankers=2), seconds=120)
    yield served
    deploy(served.settings)
    until(lambda: stands(served, milvus="ok", rankers=1), seconds=120)


def stands(house: House, *, milvus: str, rankers: int) -> bool:
    health = house.health()
    there = len(house.replicas("ServeReplica:learnrec:Ranker"))
    return (health["ready"], health["dependencies"]["milvus"], there) == (True, milvus, rankers)


def test_with_faiss_as_the_index_of_choice_milvus_is_not_missed(varied: House) -> None:
    with frozen(varied.processes("milvus_uri")):
        bodies = [ask(varied, number) for number in range(12)]
        assert varied.health()["dependencies"]["milvus"] == "unused"
    assert {(body["served_by"], *body["degraded"]) for body in bodies} == {("ranker",)}
    assert "two_tower" in {item["source"] for body in bodies for item in body["items"]}


def test_a_promotion_waits_for_every_replica_and_reaches_all_within_ten_seconds(varied: House) -> None:
    for release_id in (SECOND, FIRST):
        varied.promote(release_id)
        assert until(lambda wanted=release_id: varied.health()["release"] == wanted, seconds=30) < 10
        answers = [ask(varied, number) for number in range(16)]  # more than enough to meet both replicas
        assert {body["release"] for body in answers} == {release_id}
        assert {(body["served_by"], *body["degraded"]) for body in answers} == {("ranker",)}
    until(lambda: is_whole(varied), seconds=20)
