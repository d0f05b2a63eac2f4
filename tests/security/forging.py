"""Tokens as an attacker would write them, and a key pair as an identity provider would have it."""

import base64
import json
import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

WHO: Any = {"issuer": "learnrec", "audience": "learnrec"}


def key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One for each name, made once."""
    return _key(name, bits)


@cache
def _key(name: str, bits: int) -> rsa.RSAPrivateKey:  # by which it is remembered
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def jwk(name: str, bits: int = 2048, **changes: Any) -> dict[str, Any]:
    """The public half of `key`, under its name."""
    made = RSAAlgorithm.to_jwk(key(name, bits).public_key(), as_dict=True)
    return {"kid": name, "use": "sig", "alg": "RS256", "kty": "RSA", "n": made["n"], "e": made["e"], **changes}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"sub": "ada", "role": "learner", "iss": "learnrec", "aud": "learnrec"}
    return {**good, "iat": now, "nbf": now, "exp": now + 300, **changes}


def token(name: str = "ours", bits: int = 2048, *, kid: str | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key(name, bits), "RS256", headers={"kid": kid or name})


def part(value: Any) -> str:
    """A part of a token: `value` as JSON, or the very bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed_parts(header: Any, payload: Any) -> str:
    """A token with our own good signature over whatever these are."""
    message = f"{part(header)}.{part(payload)}"
    return f"{message}.{part(RSAAlgorithm(RSAAlgorithm.SHA256).sign(message.encode(), key('ours')))}"
