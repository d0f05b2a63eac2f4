"""A submitted job finds the cluster that it runs on: what `auto` stands for."""

from tests.cluster.submitting import submitted

SESSION = """
import ray
from app.settings import load_settings
from jobs.ray_session import ray_session
settings = load_settings()
with ray_session(settings):
    print(settings.ray_address, "is a cluster of", len(ray.nodes()))
"""


def test_a_submitted_job_opens_a_session_on_its_own_cluster(ray_cluster: str) -> None:
    said = submitted(ray_cluster, SESSION, {"RAY_AUTH_MODE": "disabled"}, without="label-selector")
    assert "auto is a cluster of 1" in said
