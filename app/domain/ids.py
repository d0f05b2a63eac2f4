"""Ids: UUIDs inside; anything else from outside becomes the uuid5 of one namespace, the same everywhere."""

from collections.abc import Iterable
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput

NAMESPACE = UUID("6f1c9a52-7a0b-5e0e-9f3e-0b9a4b7d2c11")
MAX_ID_LENGTH = 64


def canonical_id(outside: str) -> str:
    """The UUID, as lower-case text, that stands for an outside id.

    Raises InvalidInput: empty, longer than MAX_ID_LENGTH, or with characters that do not print.
    """
    text = outside.strip()
    if not text:
        raise InvalidInput("an id is empty: give 1 to 64 characters")
    if len(text) > MAX_ID_LENGTH:
        raise InvalidInput(f"an id has {len(text)} characters: give 1 to {MAX_ID_LENGTH}")
    if not text.isprintable():
        raise InvalidInput("an id has characters that do not print")
    if len(text) in (32, 36):
        try:
            return str(UUID(text))
        except ValueError:
            pass
    return str(uuid5(NAMESPACE, text))


def id_keys(ids: Iterable[str]) -> NDArray[np.uint64]:
    """The first 64 bits of each canonical UUID: what vocabularies sort and search by. `[n]`."""
    return np.fromiter((int(i[:8] + i[9:13] + i[14:18], 16) for i in ids), np.uint64)
