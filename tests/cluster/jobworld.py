"""A small generated world in stores of its own, and a spec that trains on it in seconds."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from app.adapters import logs
from app.adapters.postgres.migrations import migrate
from app.settings import Settings, child_environment
from jobs import stores
from jobs.spec import load_spec
from jobs.world.config import WorldConfig
from jobs.world.export import load_world
from jobs.world.world import World, make_world

DEADLINE_S = 900
"""For what a quiet machine does in a tenth of it."""

SMALL = """
[train_retrieval]
holdout_share = 0.1
[train_retrieval.towers]
embedding_dim = 16
hidden_dim = 32
id_dim = 16
num_epochs = 2
[train_ranking.ranker]
num_trees = 12
num_folds = 2
max_queries = 600
"""


@dataclass(frozen=True)
class JobWorld:
    """What the jobs are run on."""

    settings: Settings
    world: World
    spec: Path  # of the pipeline


@contextmanager
def job_world(
    folder: Path, *, postgres_url: str, redis_url: str, milvus_uri: str, mlflow_uri: str
) -> Iterator[JobWorld]:
    """120 learners on 60 contents: loaded into the warehouse and the log, not yet ingested."""
    database = f"jobs_{uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {database}".encode())
        settings = Settings(
            var_dir=folder / "var",
            postgres_url=f"{postgres_url.rpartition('/')[0]}/{database}",
            redis_url=redis_url,
            milvus_uri=milvus_uri,
            mlflow_uri=mlflow_uri,
        )
        migrate(settings.need("postgres_url"))
        world = make_world(WorldConfig(num_learners=120, num_contents=60, events_per_learner=40), seed=3)
        with stores.warehouse(settings) as warehouse, logs.event_log(settings) as log:
            load_world(world, warehouse=warehouse, log=log, advance=lambda _done, _what: None)
        spec = folder / "small.toml"
        spec.write_text(SMALL)
        yield JobWorld(settings, world, spec)
        connection.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())


def write_addresses(settings: Settings) -> None:
    """Leave the addresses where a process that only knows VAR finds them, as `learnrec up` does."""
    run = settings.var_dir / "run"
    run.mkdir(parents=True, exist_ok=True)
    names = ("postgres_url", "redis_url", "milvus_uri", "mlflow_uri")
    (run / "addresses.json").write_text(json.dumps({name: getattr(settings, name) for name in names}))


def job_process(world: JobWorld, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    """`python -m jobs …` that knows the world's stores, as a process of its own; `log` has what it says."""
    with log.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs", *arguments],
            env=child_environment(world.settings),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


def until(condition: Callable[[], object], told: Callable[[], str]) -> None:
    """Wait for `condition`; what was `told` is the message when it does not come."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {told()}"
        time.sleep(0.2)


def spec_of(world: JobWorld, job: str, *assignments: str) -> Any:
    """The job's part of the small spec."""
    return getattr(load_spec("pipeline", world.spec, [f"{job}.{a}" for a in assignments]), job)
