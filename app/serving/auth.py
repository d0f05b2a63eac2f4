"""Tokens: RS256 and nothing else, by PyJWT, with public keys from a JWKS.

A verified token is remembered by its digest until it expires, as checking a signature costs a tenth of a millisecond.
"""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import jwt

from app.errors import Unavailable
from app.serving.access import Caller, Role, caller_of
from app.serving.key_source import Keys, KeySource
from app.serving.problems import Problem, unauthorized

LEEWAY_S = 30
MAX_TOKEN_LENGTH = 8_192
MAX_REMEMBERED = 10_000
REQUIRED_CLAIMS = ["sub", "role", "iss", "aud", "exp", "nbf", "iat"]
REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})
"""By these a token would bring, or point at, its own key."""


class UnknownKey(Problem):
    """A token that names a key which is none of ours, as far as we know."""


class TokenVerifier:
    """`clock` gives Unix seconds."""

    def __init__(self, keys: KeySource, *, issuer: str, audience: str, clock: Callable[[], float] = time.time) -> None:
        self._source, self._issuer, self._audience, self._clock = keys, issuer, audience, clock
        self._keys: Keys = {}
        self._remembered: dict[bytes, Caller] = {}

    async def admit(self, authorization: str | None) -> Caller:
        """`caller`, with keys looked for again where they are old, or where the token's is not among them."""
        await self._source.look_again(at_once=False)
        try:
            return self.caller(authorization)
        except (UnknownKey, Unavailable):
            if not await self._source.look_again(at_once=True):
                raise
            return self.caller(authorization)

    def caller(self, authorization: str | None) -> Caller:
        """Of the request's Authorization header. Raises Problem 401, or Unavailable: there are no keys."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise unauthorized("no token: send `Authorization: Bearer …`; `learnrec token` makes one for development")
        keys = self._source.current()
        if keys is not self._keys:
            self._remembered.clear()  # what a withdrawn key signed is valid no more
            self._keys = keys
        digest, now = sha256(token.encode(errors="surrogateescape")).digest(), self._clock()
        known = self._remembered.get(digest)
        if known is not None and known.expires_at > now:
            return known
        caller = self._verified(token)
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
        except (ValueError, TypeError, OverflowError) as exc:
            roles = ", ".join(Role)
            raise unauthorized(f"the token's sub, role or exp is not valid: role is one of {roles}") from exc

    def _key_of(self, header: dict[str, Any]) -> Any:
        if refused := REFUSED_HEADERS & header.keys():
            raise jwt.InvalidTokenError(f"the header names {', '.join(sorted(refused))}, which is not accepted")
        if header.get("alg") != "RS256":
            raise jwt.InvalidTokenError("it must be signed with RS256")
        kid = header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            refusal = unauthorized("the token is not valid: its kid names none of our keys")
            raise UnknownKey(refusal.status, refusal.detail, headers=refusal.headers)
        return key

    def _remember(self, digest: bytes, caller: Caller) -> None:
        while len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[digest] = caller


def forbidden(detail: str) -> Problem:
    return Problem(403, detail)
