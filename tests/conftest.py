"""Real engines for all tests: each starts once a session, at first use, with data of its own."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.settings import ON_LOOPBACK, prepare_process

prepare_process()  # before any test module imports TensorFlow, Ray or MLflow
os.environ.update(ON_LOOPBACK)  # as clients of the embedded Ray have it

from cluster.stack.engines.kafka import KafkaEngine  # noqa: E402  # after prepare_process
from cluster.stack.engines.milvus_lite import MilvusLiteEngine  # noqa: E402
from cluster.stack.engines.milvus_server import MilvusServerEngine  # noqa: E402
from cluster.stack.engines.mlflow import MlflowEngine  # noqa: E402
from cluster.stack.engines.postgres import PostgresEngine  # noqa: E402
from cluster.stack.engines.ray import RayEngine  # noqa: E402
from cluster.stack.engines.redis import RedisEngine  # noqa: E402
from cluster.stack.engines.s3 import ACCESS_KEY, SECRET_KEY, S3Engine  # noqa: E402
from cluster.stack.ports import free_ports  # noqa: E402
from tests.engines import running  # noqa: E402

if TYPE_CHECKING:
    from tests.serving.tiny import Tiny, Trained

REPOSITORY = Path(__file__).resolve().parents[1]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell ignores Ctrl-C for what it starts in the background, and the processes that tests interrupt inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(PostgresEngine, tmp_path_factory.mktemp("postgres")) as engine:
        yield engine.address


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(RedisEngine, tmp_path_factory.mktemp("redis")) as engine:
        yield engine.address


def require_kafka() -> None:
    """A broker needs Java and Maven: without them a test is skipped, but in continuous integration it fails."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"a Kafka broker needs {' and '.join(missing)}, which this machine lacks")


@pytest.fixture(scope="session")
def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real broker."""
    require_kafka()
    with running(KafkaEngine, tmp_path_factory.mktemp("kafka")) as engine:
        yield engine.address


@pytest.fixture(scope="session")
def s3_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 endpoint; its credentials are in the environment."""
    folder = tmp_path_factory.mktemp("s3")
    with pytest.MonkeyPatch.context() as patch, running(S3Engine, folder) as engine:
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        yield engine.address


@pytest.fixture
def s3_store(s3_uri: str, tmp_path: Path) -> str:
    """The URI of a folder of its own there."""
    bucket, _, options = s3_uri.partition("?")
    return f"{bucket}/{tmp_path.name}?{options}"


@pytest.fixture(scope="session")
def milvus_lite_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(MilvusLiteEngine, tmp_path_factory.mktemp("milvus-lite")) as engine:
        yield engine.address


@pytest.fixture(scope="session")
def milvus_server_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Milvus 2.3 server; there is a wheel for Linux on x86-64 only."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the package milvus 2.3.5 has no server for this machine")
    with running(MilvusServerEngine, tmp_path_factory.mktemp("milvus-server")) as engine:
        yield engine.address


@pytest.fixture(scope="session")
def mlflow_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(MlflowEngine, tmp_path_factory.mktemp("mlflow")) as engine:
        yield engine.address


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Ray head, without a token; a test connects with `ray.init(address=…)`."""
    folder = tmp_path_factory.mktemp("ray")
    with running(RayEngine, folder, dashboard_port=free_ports(1)[0]) as engine:
        yield engine.address


@pytest.fixture(scope="session")
def tiny() -> "Tiny":
    """A small world."""
    from tests.serving.tiny import make_tiny

    return make_tiny()


@pytest.fixture(scope="session")
def releases(tiny: "Tiny", tmp_path_factory: pytest.TempPathFactory) -> "dict[str, Trained]":
    """Two, trained on it; published nowhere yet."""
    from tests.serving.tiny import train_two

    return train_two(tiny, tmp_path_factory.mktemp("releases"))


@pytest.fixture
def clean_redis(redis_url: str) -> str:
    """A Redis without a key."""
    from redis import Redis

    with Redis.from_url(redis_url) as client:
        client.flushall()
    return redis_url


_NUMBERS = count()


@pytest.fixture
def empty_postgres(postgres_url: str) -> Iterator[str]:
    """The URL of a database of its own, without a table."""
    import psycopg

    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield f"{postgres_url.rpartition('/')[0]}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def clean_postgres(empty_postgres: str) -> str:
    """The URL of a database of its own, migrated, without a row."""
    from app.adapters.postgres.migrations import migrate

    migrate(empty_postgres)
    return empty_postgres


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Finds a data set of the shared folder; skips the test where it is absent, but fails it in CI."""

    def find(name: str) -> Path:
        path = REPOSITORY.parent / "shared" / "data" / name
        if not path.exists() and os.environ.get("CI") != "true":
            pytest.skip(f"the data set {path} is not here")
        return path

    return find
