"""Ids: UUIDs inside; anything else from outside becomes the uuid5 of one namespace, the same everywhere."""

import os
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput

NAMESPACE = UUID("6f1c9a52-7a0b-5e0e-9f3e-0b9a4b7d2c11")
MAX_ID_LENGTH = 64
_CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch


def canonical_id(outside: str) -> str:
    """The UUID, as lower-case text, that stands for an outside id.

    Raises InvalidInput: empty, longer than MAX_ID_LENGTH, or with characters that do not print.
    """
    if _CANONICAL(outside):
        return outside
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
    return _named(text)


@lru_cache(maxsize=50_000)
def _named(text: str) -> str:
    return str(uuid5(NAMESPACE, text))


def canonical_ids(outside: Sequence[str], *, name: str) -> tuple[list[str | None], list[str | None]]:
    """`canonical_id` for many, each distinct one once: the ids, None where there is none, and there the reason."""
    known: dict[str, tuple[str | None, str | None]] = {}
    for text in set(outside):
        try:
            known[text] = canonical_id(text), None
        except InvalidInput:
            known[text] = None, _fault_of(text, name)
    found = [known[text] for text in outside]
    return [one for one, _ in found], [fault for _, fault in found]


def _fault_of(text: str, name: str) -> str:
    if not text.strip():
        return f"missing {name}"
    return f"oversized {name}" if len(text.strip()) > MAX_ID_LENGTH else f"unprintable {name}"


def id_keys(ids: Iterable[str]) -> NDArray[np.uint64]:
    """The first 64 bits of each canonical UUID: what vocabularies sort and search by. `[n]`."""
    return np.fromiter((int(i[:8] + i[9:13] + i[14:18], 16) for i in ids), np.uint64)


def new_ids(number: int) -> list[str]:
    """So many random UUIDs (version 4), canonical."""
    bits = np.frombuffer(os.urandom(16 * number), np.uint8).reshape(number, 16).copy()
    bits[:, 6] = bits[:, 6] & 0x0F | 0x40
    bits[:, 8] = bits[:, 8] & 0x3F | 0x80
    return uuid_texts(bits)


def uuid_texts(bits: NDArray[np.uint8]) -> list[str]:
    """Canonical text of UUIDs that come as bytes. `[n, 16]`."""
    text = np.ascontiguousarray(bits).tobytes().hex()
    plain = (text[i : i + 32] for i in range(0, len(text), 32))
    return [f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}" for h in plain]
