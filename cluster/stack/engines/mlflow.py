"""MLflow's server on SQLite and a folder: runs, metrics, and the registry of releases."""

import sys
from typing import ClassVar

import httpx

from app.errors import Unavailable
from cluster.stack.engine import LOOPBACK, Engine, Launch


class MlflowEngine(Engine):
    name: ClassVar[str] = "mlflow"
    title: ClassVar[str] = "MLflow"
    address_field: ClassVar[str] = "mlflow_uri"
    default_port: ClassVar[int] = 5000
    client: ClassVar[str] = "httpx"
    start_timeout_s: ClassVar[float] = 180.0  # the first start makes the database

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        (self.home / "artifacts").mkdir(parents=True, exist_ok=True)

    def launch(self) -> Launch:
        command = [sys.executable, "-m", "cluster.stack.engines.mlflow_server", "server"]
        command += ["--host", LOOPBACK, "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.home / 'mlflow.db'}"]
        command += ["--artifacts-destination", (self.home / "artifacts").as_uri()]
        # Without its job runner, which would start helper processes that nobody asked for.
        return Launch(command, {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})

    @staticmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        try:
            httpx.get(f"{address.rstrip('/')}/health", timeout=timeout_s, trust_env=False).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise Unavailable("MLflow", str(exc) or type(exc).__name__) from exc
