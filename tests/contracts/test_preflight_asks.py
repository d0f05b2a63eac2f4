"""`learnrec doctor --production --ask` on real stores: who answers, who does not, and nobody is waited for long."""

import json
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from cluster.preflight.examine import examine
from cluster.stack.doctor import Verdict
from cluster.stack.ports import free_ports
from tests.security.forging import jwk

SHORT_S = 1.0


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """An identity provider's key set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"keys": [jwk("ours")]}).encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/jwks.json"
    server.shutdown()
    server.server_close()


@pytest.fixture
def deaf() -> Iterator[str]:
    """host:port of who takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_each_address_is_asked_and_the_silent_are_named(
    postgres_url: str, redis_url: str, provider: str, deaf: str, tmp_path: Path
) -> None:
    (closed,) = free_ports(1)
    told = {
        "LEARNREC_POSTGRES_URL": postgres_url,
        "LEARNREC_REDIS_URL": redis_url,
        "LEARNREC_MLFLOW_URI": f"http://127.0.0.1:{closed}",
        "LEARNREC_KAFKA_SERVERS": deaf,
        "LEARNREC_OBJECT_STORE": tmp_path.as_uri(),
        "LEARNREC_JWT_JWKS_URL": provider,
    }
    (path := tmp_path / "production.env").write_text("".join(f"{name}={value}\n" for name, value in told.items()))

    unasked = examine([path])
    began = time.monotonic()
    asked = [finding for finding in examine([path], ask=True, timeout_s=SHORT_S) if finding not in unasked]

    assert time.monotonic() - began < 15
    assert {f.subject: f.found for f in asked if f.verdict is Verdict.FINE} == {
        "PostgreSQL": "answers",
        "Redis": "answers",
        "Tokens": "1 keys",
        "Object store": "answers, with this shell's credentials",
    }
    assert {f.subject for f in asked if f.verdict is Verdict.WRONG} == {"MLflow", "Kafka"}
    assert not any("does not answer" in f.found or "no answer" in f.found for f in unasked)


def test_asked_is_a_broker_too(kafka_servers: str, tmp_path: Path) -> None:
    (path := tmp_path / "production.env").write_text(f"LEARNREC_KAFKA_SERVERS={kafka_servers}\n")
    found = [f.found for f in examine([path], ask=True) if f.subject == "Kafka"]
    assert any(text.startswith("answers") for text in found), found
