"""The whole stack, nothing pinned: five engines and the service, HAProxy included, from one command to another."""

import json
import os
from pathlib import Path

import httpx
import pytest

from cluster.stack.engines.ray import RayEngine
from cluster.stack.processes import scan
from tests.cluster.stacks import stack_in


@pytest.mark.timeout(600)
def test_one_command_starts_everything_and_another_leaves_nothing(tmp_path: Path) -> None:
    with stack_in(tmp_path / "var") as stack:
        up = stack.learnrec("up")
        out, err = up.communicate()
        assert up.returncode == 0, out + err

        status = stack.learnrec("status", "--json")
        parts = json.loads(status.communicate()[0])
        assert [part["health"] for part in parts] == ["up"] * len(parts)
        names = {process.name() for process in stack.processes()}
        assert {"raylet", "haproxy", "postgres", "redis-server"} <= names

        port = stack.var.record(RayEngine)
        assert port is not None
        anyone = httpx.get(f"http://127.0.0.1:{port.dashboard_port}/api/jobs/", trust_env=False)
        assert anyone.status_code == httpx.codes.UNAUTHORIZED

        assert RayEngine(home=stack.var.home(RayEngine), port=0).scratch.stat().st_mode & 0o077 == 0
        sessions = {os.getsid(process.pid) for process in stack.processes()}
        assert stack.learnrec("down").wait() == 0
        assert not stack.processes()
        assert not [one.process for one in scan() if one.session in sessions]
