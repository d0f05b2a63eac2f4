"""Who a learner is where nobody needs to know who: HMAC-SHA256 (RFC 2104) of the id under a secret key.

A pseudonym has the form of a UUID (version 8 of RFC 9562, 122 bits of the digest), so it stands wherever an id does.
Without the key, nobody can tell whose it is, nor try ids until one fits.
"""

import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from uuid import UUID

import pyarrow as pa

MIN_SECRET_BYTES = 32
_VERSION, _VARIANT = 0x8 << 76, 0x2 << 62
_KEPT = ~(0xF << 76 | 0x3 << 62)


@dataclass(frozen=True, slots=True)
class PseudonymKey:
    """One key; `PLAIN`, with an empty secret, leaves ids as they are."""

    secret: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """What tells keys apart and may be known: 16 hexadecimal digits, "" of PLAIN."""
        return sha256(b"name of a pseudonym key" + self.secret).hexdigest()[:16] if self.secret else ""

    def of(self, user_id: str) -> str:
        """`user_id` is canonical."""
        return _pseudonym(self.secret, user_id) if self.secret else user_id

    def of_all(self, user_ids: Iterable[str]) -> list[str]:
        return [self.of(user_id) for user_id in user_ids]

    def of_column(self, table: pa.Table, name: str = "user_id") -> pa.Table:
        """The table with pseudonyms in that column, each learner's made once."""
        return renamed(table, name, self.of_all)


PLAIN = PseudonymKey(b"")


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that are in use, newest first: the first one makes what is new, the others read what is old."""

    keys: Sequence[PseudonymKey]

    @property
    def current(self) -> PseudonymKey:
        return self.keys[0]

    def names_of(self, user_id: str) -> frozenset[str]:
        """Every name that the learner may have in Parquet: the id, from before there were keys, and its pseudonyms."""
        return frozenset({user_id, *(key.of(user_id) for key in self.keys)})

    def named(self, name: str) -> PseudonymKey | None:
        """None: it is not in use any more."""
        return PLAIN if not name else next((key for key in self.keys if key.name == name), None)


def renamed(table: pa.Table, column: str, of_all: Callable[[Sequence[str]], Sequence[str]]) -> pa.Table:
    """The table with other names in a column of texts; `of_all` is asked once for each that is there."""
    encoded = table[column].combine_chunks().dictionary_encode()
    names = pa.array(of_all(encoded.dictionary.to_pylist()), pa.string())
    return table.set_column(
        table.schema.get_field_index(column), table.schema.field(column), names.take(encoded.indices)
    )


@lru_cache(maxsize=100_000)
def _pseudonym(secret: bytes, user_id: str) -> str:
    bits = int.from_bytes(hmac.digest(secret, user_id.encode(), "sha256")[:16])
    return str(UUID(int=bits & _KEPT | _VERSION | _VARIANT))
