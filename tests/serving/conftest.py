"""The whole service, once for this folder: engines of its own, a small Ray, two trained releases, the real graph."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest
from pydantic import SecretStr

from app.adapters.mlflow_registry import MlflowRegistry
from app.adapters.postgres.migrations import migrate
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.domain.releases import PRODUCTION
from app.serving.access import Role
from app.serving.keys import make_development_keys, signed
from app.settings import Settings, child_environment
from cluster.deploy import deploy, undeploy
from cluster.stack.engine import Launch
from cluster.stack.engines.milvus_lite import MilvusLiteEngine
from cluster.stack.engines.mlflow import MlflowEngine
from cluster.stack.engines.postgres import PostgresEngine
from cluster.stack.engines.ray import RayEngine
from cluster.stack.engines.redis import RedisEngine
from cluster.stack.ports import free_ports
from tests.engines import running
from tests.observability.receiver import Receiver, receiving
from tests.serving.tiny import FIRST, Tiny, Trained, publish
from tests.serving.waiting import until

CANARY = "a-password-that-must-be-nowhere"
PSEUDONYM_KEY = "a key that no log may ever show to anybody"
SERVING_ENVIRONMENT = {
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.1",  # nobody waits for the connections of a test
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a busy machine starts HAProxy in more than five seconds
}


@dataclass(frozen=True)
class House:
    """The running service and what a test needs to talk to it."""

    settings: Settings
    tiny: Tiny
    traces: Receiver

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.http_port}"

    def token(self, user: str = "tests", role: Role = Role.SERVICE, **changes: Any) -> str:
        return signed(self.settings, user=user, role=role, **changes)

    def client(self, user: str = "tests", role: Role = Role.SERVICE) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(user, role)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def health(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/health", timeout=10, trust_env=False).json()

    def promote(self, release_id: str) -> None:
        registry = MlflowRegistry(self.settings.need("mlflow_uri"))
        registry.point(PRODUCTION, release_id)
        registry.close()

    def processes(self, name: str) -> list[psutil.Process]:
        """The engine that listens at the address in the settings' field `name`, with its children."""
        port = httpx.URL(self.settings.need(name).replace("postgresql:", "http:").replace("redis:", "http:")).port
        listening = [c for c in psutil.net_connections("tcp") if c.status == "LISTEN"]
        owners = {c.pid for c in listening if getattr(c.laddr, "port", None) == port}
        found = [psutil.Process(pid) for pid in owners if pid]
        return [*found, *(child for process in found for child in process.children(recursive=True))]

    def replicas(self, word: str = "ServeReplica") -> list[psutil.Process]:
        """Processes of this house's Serve whose command has `word` in it."""
        port, found = str(self.settings.http_port), []
        for process in psutil.process_iter(["cmdline"]):
            if word in " ".join(process.info["cmdline"] or ()):
                with suppress(psutil.Error):
                    found += [process] if process.environ().get("LEARNREC_HTTP_PORT") == port else []
        return found


_FALLBACK_PORTS = ("RAY_SERVE_FALLBACK_PROXY_HTTP_PORT", "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT")


@dataclass(frozen=True)
class _ServingRay(RayEngine):
    """Ray whose daemons know the addresses of this house, as `learnrec up` starts it."""

    environment: dict[str, str] = field(default_factory=dict[str, str])

    def launch(self) -> Launch:
        made = super().launch()
        fallback = dict(zip(_FALLBACK_PORTS, map(str, free_ports(2)), strict=True))
        return Launch(made.command, {**made.environment, **self.environment, **fallback})


@pytest.fixture(scope="session")
def house(tiny: Tiny, releases: dict[str, Trained], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Two releases are registered; none is in production yet."""
    folder = tmp_path_factory.mktemp("house")
    with ExitStack() as stack:

        def engine(kind: type[Any], name: str, **fields: Any) -> Any:
            return stack.enter_context(running(kind, tmp_path_factory.mktemp(name), **fields))

        traces = stack.enter_context(receiving())
        settings = Settings(
            var_dir=folder,
            postgres_url=engine(PostgresEngine, "house-postgres").address,
            redis_url=engine(RedisEngine, "house-redis").address,
            milvus_uri=engine(MilvusLiteEngine, "house-milvus").address,
            mlflow_uri=engine(MlflowEngine, "house-mlflow").address,
            http_port=free_ports(1)[0],
            rate_limit="100000/minute",
            kafka_sasl_password=SecretStr(CANARY),  # nobody needs it here: it is looked for in what is written
            request_timeout_ms=4_000,  # loading a release and answering share two cores here
            otlp_endpoint=traces.url,
            trace_ratio=0.0,  # but those whose sender asks for it
            slow_request_ms=1,
            pseudonym_keys=SecretStr(PSEUDONYM_KEY),
        )
        make_development_keys(settings.private_key_path, settings.jwks_path)
        _fill(settings, tiny)
        for trained in releases.values():
            publish(settings, trained)
        environment = {**child_environment(settings), **SERVING_ENVIRONMENT}
        ray = engine(_ServingRay, "house-ray", dashboard_port=free_ports(1)[0], environment=environment)
        stack.callback(ray.keep_logs)
        settings = settings.model_copy(update={"ray_address": ray.address})
        deploy(settings)
        stack.callback(undeploy, settings)
        yield House(settings, tiny, traces)


def _fill(settings: Settings, tiny: Tiny) -> None:
    url = settings.need("postgres_url")
    migrate(url)
    with PostgresWarehouse(url) as warehouse:
        warehouse.put_users(tiny.world.users)
        warehouse.put_contents(tiny.world.contents)
        warehouse.put_events(tiny.world.events)


@pytest.fixture(scope="session")
def served(house: House) -> House:
    """With a release in production, and every stage ready for it."""
    if house.health()["release"] is None:
        house.promote(FIRST)
    until(lambda: house.health()["ready"], seconds=60)
    return house
