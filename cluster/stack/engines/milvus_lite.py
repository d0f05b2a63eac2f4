"""Milvus Lite as one server process: the vectors of the items."""

import sys
from typing import ClassVar

from app.errors import Unavailable
from cluster.stack.engine import LOOPBACK, Engine, Launch


class MilvusLiteEngine(Engine):
    """`milvus-lite server`; its LOCK is an flock, which dies with its holder, so a stale one locks nobody out."""

    name: ClassVar[str] = "milvus"
    title: ClassVar[str] = "Milvus Lite"
    address_field: ClassVar[str] = "milvus_uri"
    default_port: ClassVar[int] = 19530
    client: ClassVar[str] = "pymilvus"

    @property
    def address(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    def launch(self) -> Launch:
        options = ["--data-dir", str(self.home), "--host", LOOPBACK, "--port", str(self.port)]
        return Launch([sys.executable, "-m", "milvus_lite", "server", *options])

    @staticmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        from pymilvus import MilvusClient  # 1 s to import
        from pymilvus.exceptions import MilvusException

        try:
            client = MilvusClient(uri=address, timeout=timeout_s, dedicated=True)  # a pooled one would outlive us
            try:
                client.get_server_version(timeout=timeout_s)
            finally:
                client.close()
        except (MilvusException, ValueError) as exc:
            raise Unavailable("Milvus", str(exc)) from exc
