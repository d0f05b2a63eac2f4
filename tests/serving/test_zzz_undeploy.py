"""The end of the service; runs last."""

import httpx
import pytest

from cluster.deploy import undeploy
from tests.serving.conftest import House


def test_undeploying_leaves_neither_a_replica_nor_haproxy(house: House) -> None:
    assert house.replicas("haproxy"), "HAProxy is what serves"
    undeploy(house.settings)
    assert not house.replicas("haproxy")
    assert not house.replicas()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{house.url}/health", trust_env=False)
    undeploy(house.settings)  # again: nothing happens
