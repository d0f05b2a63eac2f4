"""`up` and `down` on real engines: PostgreSQL and Redis of the stack's own, the slow ones pinned to the session's."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from app.errors import Conflict, LearnrecError, Unavailable
from app.settings import load_settings
from cluster.stack.down import down
from cluster.stack.engines.postgres import PostgresEngine
from cluster.stack.engines.redis import RedisEngine
from cluster.stack.status import Health, status
from cluster.stack.tell import State
from cluster.stack.up import up
from tests.cluster.stacks import Stack, kill, stack_in


@pytest.fixture
def stack(
    tmp_path: Path, milvus_lite_uri: str, mlflow_uri: str, ray_cluster: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stack]:
    with stack_in(
        tmp_path / "var", milvus_uri=milvus_lite_uri, mlflow_uri=mlflow_uri, ray_address=ray_cluster
    ) as stack:
        for name, value in stack.environment.items():
            monkeypatch.setenv(name, value)
        yield stack


def bring_up(stack: Stack) -> None:
    stack.told.clear()
    up(serve=False, tell=stack.tell)


def test_a_second_up_starts_nothing(stack: Stack) -> None:
    bring_up(stack)
    before = {process.pid for process in stack.processes()}

    bring_up(stack)

    assert {process.pid for process in stack.processes()} == before
    assert stack.heard("PostgreSQL") == stack.heard("Redis") == [State.RUNNING]


def test_what_the_environment_pins_is_used_and_never_started(stack: Stack, mlflow_uri: str) -> None:
    bring_up(stack)

    assert stack.heard("MLflow") == stack.heard("Milvus Lite") == stack.heard("Ray") == [State.EXTERNAL]
    assert not (stack.var.root / "mlflow").exists()
    assert load_settings().mlflow_uri == mlflow_uri
    assert {part.name for part in status() if part.external} == {"milvus", "mlflow", "ray"}


def test_a_pinned_service_that_is_silent_stops_up_before_it_starts_anything(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNREC_MLFLOW_URI", "http://127.0.0.1:9")

    with pytest.raises(Unavailable, match="LEARNREC_MLFLOW_URI"):
        bring_up(stack)

    assert not stack.processes()


def test_an_engine_that_was_killed_is_seen_and_started_again_alone(stack: Stack) -> None:
    bring_up(stack)
    postgres = stack.main(PostgresEngine).pid
    kill(stack.main(RedisEngine))
    seen = {part.name: part for part in status()}

    bring_up(stack)

    assert seen["redis"].health is Health.DOWN
    assert "redis.log" in seen["redis"].advice
    assert stack.main(PostgresEngine).pid == postgres
    assert stack.heard("Redis") == [State.STARTING, State.READY]
    assert all(part.fine for part in status())


def test_data_survives_down_and_up(stack: Stack) -> None:
    bring_up(stack)
    settings = load_settings()
    with psycopg.connect(settings.need("postgres_url")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    Redis.from_url(settings.need("redis_url")).xadd("kept", {"answer": "42"})

    down(stack.var, tell=stack.tell)
    bring_up(stack)

    settings = load_settings()
    with psycopg.connect(settings.need("postgres_url")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert Redis.from_url(settings.need("redis_url")).xlen("kept") == 1


def test_down_leaves_no_process_and_no_address_and_again_does_nothing(stack: Stack) -> None:
    bring_up(stack)
    assert stack.processes()

    down(stack.var, tell=stack.tell)
    stack.told.clear()
    down(stack.var, tell=stack.tell)

    assert not stack.processes()
    assert load_settings().postgres_url is None
    assert not stack.told


def test_a_wipe_removes_our_data_and_nothing_else(stack: Stack) -> None:
    bring_up(stack)
    (stack.var.root / "notes.txt").write_text("mine")

    rest = down(stack.var, wipe=True, tell=stack.tell)

    assert rest == ["notes.txt"]
    assert [path.name for path in stack.var.root.iterdir()] == ["notes.txt"]


def test_a_taken_port_gives_way_to_a_free_one(stack: Stack) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", RedisEngine.default_port))
            other.listen()
        except OSError:
            pass  # another server has it: as good

        bring_up(stack)

    record = stack.var.record(RedisEngine)
    assert record is not None
    assert record.port != RedisEngine.default_port
    assert ("Redis", State.STARTING, f"port {RedisEngine.default_port} is taken: {record.port}") in stack.told


def test_what_a_crash_leaves_does_not_lock_out_the_next_up(stack: Stack) -> None:
    bring_up(stack)
    with psycopg.connect(load_settings().need("postgres_url")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pid_file = stack.var.home(PostgresEngine) / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    for process in stack.processes():
        kill(process)
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))  # its number went to another process: ours

    bring_up(stack)

    with psycopg.connect(load_settings().need("postgres_url")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_record_that_names_another_process_is_not_believed(stack: Stack) -> None:
    bring_up(stack)
    down(stack.var, tell=stack.tell)
    path = stack.var.root / "run" / "redis.json"
    path.write_text(json.dumps({"pid": os.getpid(), "created_at": 1.0, "port": 6379}))

    assert {part.name: part.health for part in status()}["redis"] is Health.DOWN
    down(stack.var, tell=stack.tell)  # and this process is still there to say so


def test_an_engine_that_dies_at_its_start_shows_its_log_and_takes_the_others_down(stack: Stack) -> None:
    home = stack.var.home(RedisEngine)
    home.mkdir(parents=True)
    (home / "appendonly.aof").write_text("this is no command log")

    with pytest.raises(LearnrecError, match="Bad file format reading the append only file"):
        bring_up(stack)

    assert not stack.processes()
    assert stack.heard("PostgreSQL")[-1] is State.STOPPED
    assert stack.var.addresses() == {}


def test_two_at_once_do_not_meet(stack: Stack) -> None:
    with stack.var.locked(), pytest.raises(Conflict, match=f"process {os.getpid()}"):
        bring_up(stack)

    assert not stack.processes()


def test_secrets_are_for_the_owner_only(stack: Stack) -> None:
    bring_up(stack)

    private = [stack.var.root / "run" / "addresses.json", stack.var.home(PostgresEngine) / "password"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(load_settings().need("postgres_url"), password="wrong")
