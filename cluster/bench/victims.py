"""What a stack's answers depend on, as processes that can be stopped and brought back."""

import time
from functools import partial

import httpx
import psutil

from app.errors import LearnrecError
from cluster.bench.faults import Victim
from cluster.bench.served import Served
from cluster.stack.engine import Engine
from cluster.stack.engines.milvus_lite import MilvusLiteEngine
from cluster.stack.engines.mlflow import MlflowEngine
from cluster.stack.engines.postgres import PostgresEngine
from cluster.stack.engines.redis import RedisEngine
from cluster.stack.processes import marked

BACK_WITHIN_S = 60.0
ENGINES: dict[type[Engine], str | None] = {
    PostgresEngine: "postgres",
    RedisEngine: "redis",
    MilvusLiteEngine: "milvus",
    MlflowEngine: None,  # asked in the background only
}
STAGES = {"Ranker": "ranker", "Embedder": "embedder", "Retriever": "retriever"}


def victims(served: Served) -> list[Victim]:
    """The four stores, brought back by `learnrec up`, and a replica of each stage, brought back by Serve."""
    stores = [
        Victim(kind.title, label, partial(_engine, served, kind), partial(_up, served))
        for kind, label in ENGINES.items()
    ]
    stages = [
        Victim(f"{name} (a replica)", label, partial(_replicas, served, name), partial(_await, served, label))
        for name, label in STAGES.items()
    ]
    return stores + stages


def _engine(served: Served, kind: type[Engine]) -> list[psutil.Process]:
    return marked(str(served.var_dir), engine=kind.name)


def _replicas(served: Served, name: str) -> list[psutil.Process]:
    word = f"ServeReplica:learnrec:{name}"
    return [process for process in marked(str(served.var_dir)) if word in " ".join(process.cmdline())]


def _up(served: Served) -> None:
    served.learnrec("up", "--no-serve")


def _await(served: Served, dependency: str) -> None:
    """Raises LearnrecError: it does not come back."""
    deadline = time.monotonic() + BACK_WITHIN_S
    while time.monotonic() < deadline:
        health = httpx.get(f"{served.url()}/health", timeout=10, trust_env=False).json()
        if health["dependencies"][dependency] == "ok":
            return
        time.sleep(0.1)
    raise LearnrecError(f"{dependency} is not back after {BACK_WITHIN_S:.0f} s")
