"""The keys of pseudonyms: from the environment, or from a file that the embedded stack makes for itself."""

import os
import secrets
from pathlib import Path
from uuid import uuid4

from app.domain.pseudonyms import MIN_SECRET_BYTES, Keyring, PseudonymKey
from app.errors import InvalidInput
from app.settings import Settings


def load_keyring(settings: Settings) -> Keyring:
    """Where objects are kept in VAR, a key is made there by whoever first asks; elsewhere all machines must share one.

    Raises InvalidInput: there is no key, or one that is too short.
    """
    path = settings.pseudonym_keys_path
    if settings.pseudonym_keys is not None:
        return _parsed(settings.pseudonym_keys.get_secret_value().replace(",", "\n"), "LEARNREC_PSEUDONYM_KEYS")
    if not path.exists():
        if settings.object_store is not None:
            raise InvalidInput(
                "learners in shared Parquet go by pseudonyms, and there is no key for them: set "
                f"LEARNREC_PSEUDONYM_KEYS ({Settings.model_fields['pseudonym_keys'].description})"
            )
        _make(path)
    return _parsed(path.read_text(), str(path))


def add_key(path: Path) -> PseudonymKey:
    """A new key before those in the file: the current one from now on."""
    key = secrets.token_hex(MIN_SECRET_BYTES)
    _replace(path, f"{key}\n{path.read_text()}")
    return PseudonymKey(key.encode())


def _parsed(text: str, where: str) -> Keyring:
    keys = [line.strip() for line in text.splitlines() if line.strip()]
    if not keys or any(len(key) < MIN_SECRET_BYTES for key in keys):
        raise InvalidInput(
            f"{where} needs keys of {MIN_SECRET_BYTES} characters or more: `openssl rand -hex 32` makes one"
        )
    return Keyring([PseudonymKey(key.encode()) for key in keys])


def _make(path: Path) -> None:
    """Of several that do this at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = path.with_name(f"{path.name}.{uuid4().hex}")
    _write(own, f"{secrets.token_hex(MIN_SECRET_BYTES)}\n")
    try:
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink()


def _replace(path: Path, text: str) -> None:
    own = path.with_name(f"{path.name}.{uuid4().hex}")
    _write(own, text)
    own.replace(path)


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
