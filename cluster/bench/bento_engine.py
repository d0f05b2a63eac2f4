"""BentoML's processes, started and stopped like any engine."""

import importlib.util
import sys
from pathlib import Path
from typing import ClassVar

import httpx

from app.errors import NotFound, Unavailable
from cluster.stack.engine import LOOPBACK, Engine, Launch

ROOT = Path(__file__).resolve().parents[2]


def require_bento() -> None:
    """Raises NotFound."""
    if importlib.util.find_spec("bentoml") is None:
        raise NotFound("BentoML is not installed: `uv sync` brings it, as `make bench` does")


class BentoEngine(Engine):
    name: ClassVar[str] = "bento"
    title: ClassVar[str] = "BentoML"
    address_field: ClassVar[str] = "http_port"
    default_port: ClassVar[int] = 3000
    client: ClassVar[str] = "httpx"
    start_timeout_s: ClassVar[float] = 120.0

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    def launch(self) -> Launch:
        options = ["--host", LOOPBACK, "--port", str(self.port), "--working-dir", str(ROOT)]
        command = [sys.executable, "-m", "bentoml", "serve", "cluster.bench.bento:Gateway", *options]
        return Launch(command, {"BENTOML_HOME": str(self.home), "BENTOML_DO_NOT_TRACK": "true"})

    @staticmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        try:
            answer = httpx.get(f"{address}/health", timeout=timeout_s, trust_env=False).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as exc:
            raise Unavailable("BentoML", str(exc) or type(exc).__name__) from exc
        if not answer.get("ready"):
            raise Unavailable("BentoML", f"it is not ready: {answer}")
