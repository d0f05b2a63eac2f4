"""Tokens: RS256 and nothing else, by PyJWT, with public keys from a JWKS file.

A verified token is remembered by its digest until it expires, as checking a signature costs a tenth of a millisecond.
"""

import json
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import jwt

from app.errors import Unavailable
from app.serving.access import Caller, Role, caller_of
from app.serving.problems import Problem, unauthorized

LEEWAY_S = 30
MAX_TOKEN_LENGTH = 8_192
MAX_REMEMBERED = 10_000
KEYS_CHECKED_EVERY_S = 5.0
REQUIRED_CLAIMS = ["sub", "role", "iss", "aud", "exp", "nbf", "iat"]
REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})
"""By these a token would bring, or point at, its own key."""


class TokenVerifier:
    """`clock` gives Unix seconds. Keys that change on disk are taken up within KEYS_CHECKED_EVERY_S."""

    def __init__(self, jwks_path: Path, *, issuer: str, audience: str, clock: Callable[[], float] = time.time) -> None:
        self._path, self._issuer, self._audience, self._clock = jwks_path, issuer, audience, clock
        self._keys: dict[str, Any] = {}
        self._version: tuple[int, int] | None = None  # of the file: modified at, size
        self._checked_at = float("-inf")
        self._remembered: dict[bytes, Caller] = {}

    def caller(self, authorization: str | None) -> Caller:
        """Of the request's Authorization header. Raises Problem 401, or Unavailable: there are no keys."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("no token: send `Authorization: Bearer …`; `learnrec token` makes one for development")
        self._take_up_keys()
        digest, now = sha256(token.encode(errors="surrogateescape")).digest(), self._clock()
        known = self._remembered.get(digest)
        if known is not None and known.expires_at > now:
            return known
        caller = self._verified(token.strip())
        if caller.expires_at > now:  # within the leeway after its end it is verified each time
            self._remember(digest, caller)
        return caller

    def _verified(self, token: str) -> Caller:
        if len(token) > MAX_TOKEN_LENGTH:
            raise unauthorized(f"the token has {len(token)} characters: at most {MAX_TOKEN_LENGTH} are read")
        try:
            key = self._key_of(jwt.get_unverified_header(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
                options={"require": REQUIRED_CLAIMS},
            )
            return caller_of(claims["sub"], claims["role"], float(claims["exp"]))
        except jwt.InvalidTokenError as exc:
            raise unauthorized(f"the token is not valid: {exc}") from exc
        except (ValueError, TypeError) as exc:
            roles = ", ".join(Role)
            raise unauthorized(f"the token's sub or role is not valid: role is one of {roles}") from exc

    def _key_of(self, header: dict[str, Any]) -> Any:
        if refused := REFUSED_HEADERS & header.keys():
            raise jwt.InvalidTokenError(f"the header names {', '.join(sorted(refused))}, which is not accepted")
        if header.get("alg") != "RS256":
            raise jwt.InvalidTokenError("it must be signed with RS256")
        key = self._keys.get(str(header.get("kid")))
        if key is None:
            raise jwt.InvalidTokenError("its kid names none of our keys")
        return key

    def _take_up_keys(self) -> None:
        now = self._clock()
        if self._keys and now - self._checked_at < KEYS_CHECKED_EVERY_S:
            return
        self._checked_at = now
        try:
            stat = self._path.stat()
            if (stat.st_mtime_ns, stat.st_size) == self._version:
                return
            self._keys = _keys(self._path)
        except (OSError, ValueError, KeyError, TypeError, jwt.PyJWTError) as exc:
            if self._keys:
                return  # the last good keys hold until there are better ones
            raise Unavailable("jwks", f"{self._path} cannot be read as a JWKS: {exc}") from exc
        self._version = (stat.st_mtime_ns, stat.st_size)
        self._remembered.clear()  # what a withdrawn key signed is valid no more

    def _remember(self, digest: bytes, caller: Caller) -> None:
        while len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[digest] = caller


def _keys(path: Path) -> dict[str, Any]:
    """RSA keys for signatures, by kid."""
    listed = json.loads(path.read_bytes())["keys"]
    usable = [k for k in listed if k.get("kty") == "RSA" and k.get("use", "sig") == "sig" and k.get("kid")]
    return {str(jwk["kid"]): jwt.PyJWK(jwk, algorithm="RS256").key for jwk in usable}


def forbidden(detail: str) -> Problem:
    return Problem(403, detail)
