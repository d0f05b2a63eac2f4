"""Keys of an identity provider over HTTP: rotated without a restart, and asked for no more often than is good."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from app.errors import InvalidInput, Unavailable
from app.serving.access import Role
from app.serving.auth import TokenVerifier
from app.serving.key_source import MAX_BYTES, URL_ASKED_AGAIN_S, URL_ASKED_EVERY_S, UrlKeys
from app.serving.keys import make_development_keys, sign_token
from app.serving.problems import Problem
from app.settings import Settings, load_settings

WHO: Any = {"issuer": "learnrec", "audience": "learnrec"}


class Provider:
    """Serves a JWKS, and counts who asks."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = b"", 200, 0
        self.drip: Event | None = None  # until then, a byte every tenth of a second
        self.elsewhere = ""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(provider.status)
                if provider.elsewhere:
                    self.send_header("Location", provider.elsewhere)
                self.end_headers()
                while provider.drip and not provider.drip.wait(0.1):
                    self.wfile.write(b" ")
                self.wfile.write(provider.body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/jwks.json"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(provider: Provider, clock: Clock) -> TokenVerifier:
    return TokenVerifier(UrlKeys(provider.url, clock=clock), **WHO)


def new_key(folder: Path, name: str) -> tuple[str, list[dict[str, Any]]]:
    """A token signed with a key of its own, and that key's part of a JWKS."""
    make_development_keys(folder / f"{name}.pem", folder / f"{name}.json")
    token = sign_token(folder / f"{name}.pem", user="ada", role=Role.LEARNER, **WHO, ttl_s=3600)
    return f"Bearer {token}", json.loads((folder / f"{name}.json").read_text())["keys"]


def jwks(*keys: list[dict[str, Any]]) -> bytes:
    return json.dumps({"keys": [key for each in keys for key in each]}).encode()


async def test_a_new_key_is_taken_up_by_the_first_token_that_names_it(
    provider: Provider, verifier: TokenVerifier, clock: Clock, tmp_path: Path
) -> None:
    (old, old_key), (new, key) = (new_key(tmp_path, name) for name in ("old", "new"))
    provider.body = jwks(old_key)
    assert (await verifier.admit(old)).role is Role.LEARNER
    provider.body = jwks(old_key, key)
    clock.now += URL_ASKED_AGAIN_S
    assert await verifier.admit(new)
    assert await verifier.admit(old)
    assert provider.asked == 2


async def test_tokens_with_made_up_keys_do_not_make_us_ask_again_and_again(
    provider: Provider, verifier: TokenVerifier, clock: Clock, tmp_path: Path
) -> None:
    (good, key), (stranger, _) = (new_key(tmp_path, name) for name in ("good", "stranger"))
    provider.body = jwks(key)
    await verifier.admit(good)
    for _ in range(50):
        clock.now += 1
        with pytest.raises(Problem, match="none of our keys"):
            await verifier.admit(stranger)
    assert provider.asked <= 1 + 50 / URL_ASKED_AGAIN_S


async def test_a_withdrawn_key_is_refused_once_the_provider_was_asked_again(
    provider: Provider, verifier: TokenVerifier, clock: Clock, tmp_path: Path
) -> None:
    (old, old_key), (new, key) = (new_key(tmp_path, name) for name in ("old", "new"))
    provider.body = jwks(old_key, key)
    await verifier.admit(old)
    provider.body = jwks(key)
    clock.now += URL_ASKED_EVERY_S
    await verifier.admit(new)  # asks, though nobody waits for the answer
    await verifier._source.look_again(at_once=True)
    with pytest.raises(Problem, match="none of our keys"):
        await verifier.admit(old)


@pytest.mark.parametrize("fault", ["away", "500", "no JSON", "no keys", "endless"])
async def test_the_last_good_keys_hold_while_the_provider_fails(
    provider: Provider, verifier: TokenVerifier, clock: Clock, tmp_path: Path, fault: str
) -> None:
    token, key = new_key(tmp_path, "key")
    provider.body = jwks(key)
    await verifier.admit(token)
    if fault == "away":
        provider.close()
    provider.status = 500 if fault == "500" else 200
    provider.body = {"no JSON": b"<html>", "no keys": b'{"keys": []}', "endless": b" " * (MAX_BYTES + 1)}.get(
        fault, b""
    )
    clock.now += URL_ASKED_EVERY_S
    assert await verifier._source.look_again(at_once=True)
    assert await verifier.admit(token)


async def test_without_any_key_nobody_comes_in_until_there_is_one(
    provider: Provider, verifier: TokenVerifier, clock: Clock, tmp_path: Path
) -> None:
    token, key = new_key(tmp_path, "key")
    provider.status = 503
    with pytest.raises(Unavailable, match="has given no keys yet"):
        await verifier.admit(token)
    provider.status, provider.body = 200, jwks(key)
    with pytest.raises(Unavailable):
        await verifier.admit(token)
    clock.now += URL_ASKED_AGAIN_S
    assert await verifier.admit(token)


@pytest.mark.parametrize(
    "url", ["http://provider.example/keys", "ftp://provider.example", "https:/broken", "file:///k"]
)
def test_keys_come_over_tls_or_from_this_machine(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("LEARNREC_JWT_JWKS_URL", url)
    with pytest.raises(InvalidInput, match="JWT_JWKS_URL"):
        load_settings()
    assert Settings(jwt_jwks_url="https://provider.example/keys")


async def test_a_provider_that_sends_one_byte_now_and_then_does_not_keep_us(provider: Provider, tmp_path: Path) -> None:
    token, key = new_key(tmp_path, "key")
    verifier = TokenVerifier(UrlKeys(provider.url, timeout_s=0.3), **WHO)
    provider.body, provider.drip = jwks(key), Event()
    with pytest.raises(Unavailable, match="has given no keys yet"):
        await verifier.admit(token)
    provider.drip.set()


async def test_a_provider_that_sends_us_elsewhere_is_not_followed(
    verifier: TokenVerifier, provider: Provider, tmp_path: Path
) -> None:
    token, key = new_key(tmp_path, "key")
    provider.body, provider.status, provider.elsewhere = jwks(key), 302, provider.url
    with pytest.raises(Unavailable):
        await verifier.admit(token)
    assert provider.asked == 1
