"""`learnrec up`, `down`, `status` and `doctor` as a person meets them: processes, signals, exit codes, users."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.stack.down import down
from cluster.stack.engines.mlflow import MlflowEngine
from cluster.stack.engines.postgres import PostgresEngine
from cluster.stack.engines.redis import RedisEngine
from tests.cluster.stacks import REPOSITORY, Stack, eventually, kill, pinned_environment, stack_in
from tests.engines import running

EXIT_INTERRUPTED = 130


@pytest.fixture
def stack(tmp_path: Path, milvus_lite_uri: str, ray_cluster: str) -> Iterator[Stack]:
    """MLflow is started here, since it takes its time: there is a half-way to be interrupted at."""
    with stack_in(tmp_path / "var", milvus_uri=milvus_lite_uri, ray_address=ray_cluster) as stack:
        yield stack


@pytest.fixture
def quick_stack(tmp_path: Path, milvus_lite_uri: str, mlflow_uri: str, ray_cluster: str) -> Iterator[Stack]:
    pinned = {"milvus_uri": milvus_lite_uri, "mlflow_uri": mlflow_uri, "ray_address": ray_cluster}
    with stack_in(tmp_path / "var", **pinned) as stack:
        yield stack


def start_up_until_half_way(stack: Stack) -> subprocess.Popen[str]:
    command = stack.learnrec("up", "--no-serve")
    eventually(lambda: stack.var.record(MlflowEngine) is not None or command.poll() is not None, "MLflow is starting")
    assert command.poll() is None, command.communicate()
    return command


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_nothing_behind(stack: Stack, number: signal.Signals) -> None:
    command = start_up_until_half_way(stack)

    command.send_signal(number)
    out, err = command.communicate(timeout=60)

    assert command.returncode == EXIT_INTERRUPTED, (out, err)
    assert err == "Error: interrupted\n"
    assert "MLflow: stopped" in out
    assert not stack.processes()


def test_down_clears_what_a_killed_up_left(stack: Stack) -> None:
    command = start_up_until_half_way(stack)
    command.kill()
    command.communicate()
    assert {"postgres", "redis-server"} <= {process.name() for process in stack.processes()}

    down(stack.var, tell=stack.tell)

    assert not stack.processes()


@pytest.mark.slow
def test_status_and_doctor_exit_with_1_only_while_something_is_wrong(quick_stack: Stack) -> None:
    assert quick_stack.learnrec("status").wait() == 1
    assert quick_stack.learnrec("up", "--no-serve").wait() == 0

    command = quick_stack.learnrec("status", "--json")
    doctor = quick_stack.learnrec("doctor")
    parts = {part["name"]: part for part in json.loads(command.communicate()[0])}
    assert command.returncode == 0
    assert parts["postgres"]["health"] == "up"
    assert "***" in parts["postgres"]["address"]
    assert "Nothing to mend." in doctor.communicate()[0]
    assert doctor.returncode == 0

    kill(quick_stack.main(RedisEngine))
    doctor = quick_stack.learnrec("doctor")
    assert "✗ Redis" in doctor.communicate()[0]
    assert doctor.returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
@pytest.mark.slow
def test_works_as_an_ordinary_user(milvus_lite_uri: str, mlflow_uri: str, ray_cluster: str) -> None:
    """The user may read everything, as the interpreter may lie in a folder of root's; may write in one folder only."""
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, user.pw_uid, user.pw_gid)
        become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        pinned = {"milvus_uri": milvus_lite_uri, "mlflow_uri": mlflow_uri, "ray_address": ray_cluster}
        environment = {**os.environ, "HOME": folder, **pinned_environment(Path(folder) / "var", **pinned)}

        def learnrec(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [*become, sys.executable, "-B", "-m", "cluster.cli", *arguments]
            return subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)

        up = learnrec("up", "--no-serve")
        status = json.loads(learnrec("status", "--json").stdout)
        owners = {path.owner() for path in (Path(folder) / "var").rglob("*")}
        stopped = learnrec("down")

    assert up.returncode == 0, up.stderr
    assert {part["health"] for part in status} == {"up", "not deployed"}
    assert owners == {"nobody"}
    assert stopped.returncode == 0, stopped.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as another user only where we are root")
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_postgres_runs_for_root_in_a_closed_folder_and_in_an_open_one(mode: int) -> None:
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(mode)
        with running(PostgresEngine, Path(parent) / "var") as engine:
            PostgresEngine.ping(engine.address)
            assert engine.home.joinpath("data").owner() == "nobody"
