"""Receipts of erasures: JWS (RFC 7515) with Ed25519, so that whoever holds one can prove it without asking us."""

import os
from pathlib import Path
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.errors import Conflict, InvalidInput
from app.settings import Settings

HOW = "`openssl genpkey -algorithm ed25519` makes one"
_ALGORITHM, _KIND = "EdDSA", "learnrec-erasure"


class Receipts:
    """Signed with the key of the settings; where objects are kept in VAR, it is made there by whoever first asks.

    Raises InvalidInput: there is no key, or it is none.
    """

    def __init__(self, settings: Settings) -> None:
        path = settings.receipt_key_path
        if settings.receipt_key is not None:
            self._key = _loaded(settings.receipt_key.get_secret_value().encode(), "LEARNREC_RECEIPT_KEY")
            return
        if not path.exists():
            if settings.object_store is not None:
                raise InvalidInput(f"receipts need a key that lasts: set LEARNREC_RECEIPT_KEY; {HOW}")
            _make(path)
        self._key = _loaded(path.read_bytes(), str(path))

    @property
    def public_pem(self) -> str:
        """What `verified` takes; give it to whoever is to verify receipts."""
        encoding, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(encoding, kind).decode()

    def sign(self, facts: dict[str, Any]) -> str:
        return jwt.encode(facts, self._key, algorithm=_ALGORITHM, headers={"typ": _KIND})


def verified(receipt: str, public_pem: str) -> dict[str, Any]:
    """The facts. Raises Conflict: it is not of this key, or was changed."""
    try:
        if jwt.get_unverified_header(receipt).get("typ") != _KIND:
            raise Conflict("this is signed, but is no receipt of an erasure")
        return jwt.decode(receipt, public_pem, algorithms=[_ALGORITHM])
    except (jwt.InvalidTokenError, jwt.InvalidKeyError) as exc:
        raise Conflict(f"the receipt is not genuine: {exc}") from exc


def _loaded(pem: bytes, where: str) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise InvalidInput(f"{where} holds no private key: {HOW}") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"{where} is no Ed25519 key: {HOW}")
    return key


def _make(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(pem)
    except FileExistsError:
        return  # somebody else was quicker
