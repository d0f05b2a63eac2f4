"""The Serve config of production on four Ray nodes of one machine: the head, two that serve, one for jobs.

A job trains on its node, a node with half of the replicas is lost, and learners go on getting answers.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.job_submission import JobSubmissionClient

from app.adapters.mlflow_registry import MlflowRegistry
from app.domain.releases import PRODUCTION
from app.models.configs import RankerConfig
from app.serving.access import Role
from app.serving.keys import make_development_keys, signed
from app.settings import Settings, child_environment
from cluster.deploy import deploy, serve_config, undeploy
from cluster.stack.engines.milvus_lite import MilvusLiteEngine
from cluster.stack.engines.mlflow import MlflowEngine
from cluster.stack.engines.postgres import PostgresEngine
from cluster.stack.engines.redis import RedisEngine
from cluster.stack.ports import free_ports
from jobs.boosters import BoosterPlan, fit_of
from jobs.ray_session import ray_session
from tests.cluster.submitting import submitted
from tests.cluster.test_boosters import ranking_lists
from tests.engines import running
from tests.serving.conftest import SERVING_ENVIRONMENT, _fill
from tests.serving.tiny import FIRST, Tiny, Trained, publish
from tests.serving.waiting import until

NODES = """
import ray
from app.settings import load_settings
from jobs.ray_session import on_cluster, ray_session
def where():
    return ray.get_runtime_context().get_node_id()
with ray_session(load_settings()):
    print("driver", where(), "step", on_cluster(where), flush=True)
"""
TICKETS = 4
NUM_CPUS = 2
NUM_TREES = 400


@dataclass
class Nodes:
    cluster: Cluster
    settings: Settings
    tiny: Tiny
    folder: Path
    """A short one: sockets are in it."""
    batch: Any = None

    def add(self, name: str, **options: Any) -> tuple[Any, int]:
        """A node, and the port of its proxy."""
        own = environment_of_node(self.folder, name)
        return self.cluster.add_node(env_vars=own, **options), int(own["RAY_SERVE_WORKER_PROXY_HTTP_PORT"])

    def add_serving(self, name: str) -> tuple[Any, int]:
        return self.add(name, num_cpus=0, resources={"serve": TICKETS}, memory=TICKETS * 2 * 10**9)

    def replicas(self) -> dict[str, Counter[str]]:
        """How many of each deployment run on each node."""
        found = dict[str, Counter[str]]()
        assert self.cluster.head_node is not None
        dashboard = f"http://{self.cluster.head_node.webui_url}/api/serve/applications/"
        (application,) = httpx.get(dashboard, timeout=30, trust_env=False).json()["applications"].values()
        for name, deployment in application["deployments"].items():
            found[name] = Counter(one["node_id"] for one in deployment["replicas"] if one["state"] == "RUNNING")
        return found

    def ask(self, port: int, number: int) -> dict[str, Any]:
        token = signed(self.settings, user="tests", role=Role.SERVICE)
        users = self.tiny.world.users["user_id"]
        url = f"http://127.0.0.1:{port}/recommend/{users[number % len(users)].as_py()}"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False)
        return answer.raise_for_status().json()


def environment_of_node(folder: Path, name: str) -> dict[str, str]:
    """HAProxy's ports and files, whose defaults are one set for the whole machine; a pod has its own anyway."""
    home = folder / name
    home.mkdir()
    http, grpc, metrics, stats, fallback_http, fallback_grpc = map(str, free_ports(6))
    return {
        "RAY_SERVE_WORKER_PROXY_HTTP_PORT": http,
        "RAY_SERVE_WORKER_PROXY_GRPC_PORT": grpc,
        "RAY_SERVE_HAPROXY_METRICS_PORT": metrics,
        "RAY_SERVE_HAPROXY_STATS_PORT": stats,
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": fallback_http,
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": fallback_grpc,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(home / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(home / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(home),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(home / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(home / "metrics.sock"),
    }


def production_config(settings: Settings) -> dict[str, Any]:
    """Unchanged, but for the address."""
    config = serve_config()
    config["http_options"] |= {"host": settings.http_host, "port": settings.http_port}
    return config


@pytest.fixture(scope="module")
def stores(tiny: Tiny, releases: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """With a release in production."""
    folder = tmp_path_factory.mktemp("nodes")
    with ExitStack() as stack:

        def engine(kind: type[Any]) -> str:
            return stack.enter_context(running(kind, tmp_path_factory.mktemp(f"nodes-{kind.name}"))).address

        settings = Settings(
            var_dir=folder,
            postgres_url=engine(PostgresEngine),
            redis_url=engine(RedisEngine),
            milvus_uri=engine(MilvusLiteEngine),
            mlflow_uri=engine(MlflowEngine),
            http_port=free_ports(1)[0],
            rate_limit="100000/minute",
            request_timeout_ms=4_000,  # two cores stand for four machines
        )
        make_development_keys(settings.private_key_path, settings.jwks_path)
        _fill(settings, tiny)
        publish(settings, releases[FIRST])
        registry = MlflowRegistry(settings.need("mlflow_uri"))
        registry.point(PRODUCTION, FIRST)
        registry.close()
        yield settings


@pytest.fixture(scope="module")
def nodes(stores: Settings, tiny: Tiny) -> Iterator[Nodes]:
    """The head, which takes nothing, and the node for jobs."""
    with ExitStack() as stack:
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nodes-")))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        environment = {**child_environment(stores), **SERVING_ENVIRONMENT, **environment_of_node(short, "head")}
        for name, value in {**environment, "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0"}.items():
            patch.setenv(name, value)
        head = {"num_cpus": 0, "include_dashboard": True, "dashboard_port": free_ports(1)[0]}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        stack.callback(cluster.shutdown)
        nodes = Nodes(cluster, stores.model_copy(update={"ray_address": cluster.address}), tiny, short)
        nodes.batch, _ = nodes.add("batch", num_cpus=NUM_CPUS, labels={"learnrec/group": "batch"})
        yield nodes


def training(settings: Settings, folder: Path) -> int:
    """A booster by Ray Train; its number of trees."""
    data, rows = ranking_lists(), np.arange(1_000)
    config = RankerConfig(num_trees=NUM_TREES, max_depth=4, subsample=1.0, colsample=1.0)
    with ray_session(settings):
        plan = BoosterPlan(config, num_workers=1, attempts=folder.as_uri())
        return fit_of("ray-train", plan)(data, rows, NUM_TREES).num_boosted_rounds()


def cpus_taken() -> bool:
    """Whether the job has its worker: only the node for jobs has CPUs."""
    return ray.is_initialized() and ray.available_resources().get("CPU", 0) < NUM_CPUS


def lose(node: Any, cluster: Cluster) -> None:
    """As a machine is lost: all at once, without a word."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    for process in [raylet, *raylet.children(recursive=True)]:
        process.kill()
    cluster.remove_node(node, allow_graceful=False)


@pytest.mark.slow
@pytest.mark.timeout(800)
def test_a_machine_is_lost_while_a_job_trains_and_learners_get_their_answers(nodes: Nodes, tmp_path: Path) -> None:
    (first, port), (second, _) = nodes.add_serving("first"), nodes.add_serving("second")
    with ExitStack() as stack:
        deploy(nodes.settings, production_config(nodes.settings), wait_s=300)
        stack.callback(undeploy, nodes.settings)
        until(lambda: nodes.ask(port, 1)["served_by"] == "ranker", seconds=120)
        until(lambda: all(count.total() == 2 for count in nodes.replicas().values()), seconds=120)
        on = Counter[str]()
        for count in nodes.replicas().values():
            on.update(count)
        assert on == {first.node_id: TICKETS, second.node_id: TICKETS}, "replicas stand where there are tickets"

        pool = stack.enter_context(ThreadPoolExecutor(1))
        job = pool.submit(training, nodes.settings, tmp_path)
        until(lambda: job.done() or cpus_taken(), seconds=120)
        lose(second, nodes.cluster)
        seen = [nodes.ask(port, number) for number in range(100)]
        assert all(len(body["items"]) == 10 for body in seen)
        assert job.result(timeout=240) == NUM_TREES

        nodes.add_serving("third")
        until(lambda: all(count.total() == 2 for count in nodes.replicas().values()), seconds=180)
        until(lambda: (body := nodes.ask(port, 1))["served_by"] == "ranker" and not body["degraded"], seconds=60)


@pytest.mark.slow
def test_what_a_cron_job_submits_runs_on_the_node_for_jobs_and_its_steps_beside_it(nodes: Nodes) -> None:
    address = nodes.settings.need("ray_address")
    said = submitted(address, NODES, {"RAY_AUTH_MODE": "disabled"})
    (job,) = re.findall(r"'(raysubmit_\w+)' succeeded", said)
    assert JobSubmissionClient(address).get_job_info(job).driver_node_id == nodes.batch.node_id
    ((driver, step),) = re.findall(r"^driver (\w+) step (\w+)$", said, re.MULTILINE)
    assert step == driver  # which of four nodes on one address the driver thinks it is on, is another matter
