"""Development keys and tokens: what `learnrec up` and `learnrec token` need. Production brings its own JWKS."""

import json
import os
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from app.errors import InvalidInput, NotFound
from app.serving.access import Role
from app.settings import Settings

KEY_BITS = 2048
MAX_TTL_S = 30 * 24 * 3600


def make_development_keys(private_key_path: Path, jwks_path: Path) -> None:
    """A key pair, readable by this user only, and its public half as a JWKS. What is there already stays."""
    if not private_key_path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(private_key_path, pem)
    if not jwks_path.exists():
        public = _public_jwk(_private_key(private_key_path))
        _write(jwks_path, json.dumps({"keys": [public]}, indent=1).encode())


def sign_token(private_key_path: Path, *, user: str, role: Role, issuer: str, audience: str, ttl_s: int = 3600) -> str:
    """A token for `user` (any outside id) in `role`.

    Raises NotFound: there is no key. InvalidInput: `ttl_s` is out of range, or `user` is empty.
    """
    if not 1 <= ttl_s <= MAX_TTL_S:
        raise InvalidInput(f"a token cannot live for {ttl_s} s: give 1 to {MAX_TTL_S}")
    if not user.strip():
        raise InvalidInput("a token needs a user: give an id")
    key, now = _private_key(private_key_path), datetime.now(UTC)
    claims = {
        "sub": user,
        "role": role.value,
        "iss": issuer,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + timedelta(seconds=ttl_s),
        "jti": uuid4().hex,
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": _public_jwk(key)["kid"]})


def signed(settings: Settings, *, user: str, role: Role, ttl_s: int = 3600) -> str:
    """A token as the service of these settings takes it. Raises what `sign_token` does."""
    return sign_token(
        settings.private_key_path,
        user=user,
        role=role,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        ttl_s=ttl_s,
    )


def _private_key(path: Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        raise NotFound(f"there is no signing key {path}: `learnrec up` makes one, or set LEARNREC_JWT_PRIVATE_KEY_PATH")
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise InvalidInput(f"{path} holds no RSA key: tokens are signed with RS256")
    return key


def _public_jwk(key: rsa.RSAPrivateKey) -> dict[str, Any]:
    """With the thumbprint of RFC 7638 as `kid`: the same key always has the same name."""
    jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    essence = json.dumps({name: jwk[name] for name in ("e", "kty", "n")}, separators=(",", ":"), sort_keys=True)
    kid = urlsafe_b64encode(sha256(essence.encode()).digest()).rstrip(b"=").decode()
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": jwk["n"], "e": jwk["e"]}


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, and never readable by others in between."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.{uuid4().hex}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
    partial.replace(path)
