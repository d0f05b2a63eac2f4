"""Public keys from a JWKS: a file that is looked at again, or a URL that is asked again. The last good ones hold."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from app.errors import Unavailable

FILE_CHECKED_EVERY_S = 5.0
URL_ASKED_EVERY_S, URL_ASKED_AGAIN_S = 300.0, 10.0
"""Usually, and at most: tokens with unknown keys, of which anybody can make thousands, ask no more often."""

URL_TIMEOUT_S = 3.0
MAX_BYTES = 2**20
MIN_KEY_BITS = 2_048

_LOG = logging.getLogger(__name__)
_BAD = (ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError)

Keys = Mapping[str, Any]
"""RSA keys for signatures, by kid."""


class KeySource(Protocol):
    """Other keys are another mapping."""

    def current(self) -> Keys:
        """Raises Unavailable: there never were any."""
        ...

    async def look_again(self, *, at_once: bool) -> bool:
        """Whether a look was taken just now; `at_once` is for a key that is not known."""
        ...


class FileKeys:
    """What changes on disk is taken up within FILE_CHECKED_EVERY_S."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._keys: Keys = {}
        self._version: tuple[int, int] | None = None  # of the file: modified at, size
        self._checked_at = float("-inf")

    def current(self) -> Keys:
        now = self._clock()
        if self._keys and now - self._checked_at < FILE_CHECKED_EVERY_S:
            return self._keys
        self._checked_at = now
        try:
            stat = self._path.stat()
            version = (stat.st_mtime_ns, stat.st_size)
            if version != self._version:
                self._keys, self._version = keys_of(self._path.read_bytes()), version
        except (OSError, *_BAD) as exc:
            if not self._keys:
                raise Unavailable("jwks", f"{self._path} cannot be read as a JWKS: {exc}") from exc
        return self._keys

    async def look_again(self, *, at_once: bool) -> bool:  # noqa: ARG002  # `current` does
        return False


class UrlKeys:
    """Asked every URL_ASKED_EVERY_S, and for a key that is not known, but no more than every URL_ASKED_AGAIN_S."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time, timeout_s: float = URL_TIMEOUT_S) -> None:
        self._url, self._clock, self._timeout_s = url, clock, timeout_s
        self._keys: Keys = {}
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None

    def current(self) -> Keys:
        if not self._keys:
            raise Unavailable("jwks", f"{self._url} has given no keys yet")
        return self._keys

    async def look_again(self, *, at_once: bool) -> bool:
        if self._asking is None:
            if self._clock() - self._asked_at < (URL_ASKED_AGAIN_S if at_once else URL_ASKED_EVERY_S):
                return False
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._ask())
        if at_once:  # else nobody waits: the keys that there are hold
            await asyncio.shield(self._asking)
        return True

    async def _ask(self) -> None:
        try:
            async with (
                asyncio.timeout(self._timeout_s),  # in all: httpx's own is for each read, and a drip would never end
                httpx.AsyncClient(timeout=self._timeout_s) as client,
                client.stream("GET", self._url) as response,
            ):
                response.raise_for_status()
                body = b""
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > MAX_BYTES:
                        raise ValueError(f"more than {MAX_BYTES} bytes")
            if (found := keys_of(body)) != self._keys:
                self._keys = found
        except (httpx.HTTPError, TimeoutError, *_BAD) as exc:
            _LOG.warning("%s gives no JWKS, the last good keys hold: %s", self._url, exc or type(exc).__name__)
        finally:
            self._asking = None


def keys_of(jwks: bytes) -> Keys:
    """Those that are good for RS256; others are passed over. Raises ValueError and its like: no JWKS, or none in it."""
    found: dict[str, Any] = {}
    refused: list[str] = []
    for jwk in json.loads(jwks)["keys"]:
        try:
            found[_kid(jwk)] = _key(jwk)
        except _BAD as exc:
            refused.append(str(exc))
    if not found:
        raise ValueError(f"it has no RSA key for signatures with a kid: {'; '.join(refused[:3]) or 'it has no key'}")
    return found


def _kid(jwk: Mapping[str, Any]) -> str:
    kid = jwk["kid"]
    if not isinstance(kid, str) or not kid:
        raise ValueError("a key's kid is no text")
    return kid


def _key(jwk: Mapping[str, Any]) -> RSAPublicKey:
    """Raises ValueError and its like: a key that was made for something else, or is too weak, or is a secret."""
    if jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig" or jwk.get("alg", "RS256") != "RS256":
        raise ValueError(f"key {jwk['kid']!r} is not for RS256 signatures")
    if "verify" not in jwk.get("key_ops", ["verify"]):
        raise ValueError(f"key {jwk['kid']!r} is not for verifying")
    key = jwt.PyJWK(dict(jwk), algorithm="RS256").key
    if not isinstance(key, RSAPublicKey):
        raise TypeError(f"key {jwk['kid']!r} is a private one: publish its public half, and make a new key")
    if key.key_size < MIN_KEY_BITS:
        raise ValueError(f"key {jwk['kid']!r} has {key.key_size} bits: at least {MIN_KEY_BITS}")
    return key
