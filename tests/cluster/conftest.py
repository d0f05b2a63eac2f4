"""One connection to the cluster for all tests here that run jobs in this process: its workers have imported by then."""

from collections.abc import Iterator

import pytest

from jobs.ray_session import one_ray_session


@pytest.fixture(scope="session")
def driven_cluster(ray_cluster: str) -> Iterator[str]:
    """The address; the first job opens the connection, and the next ones find it."""
    with one_ray_session():
        yield ray_cluster
