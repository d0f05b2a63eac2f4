"""To which partition a key goes: as Kafka's own clients decide, for many keys at once.

kafka-python hashes a key in 4 µs of Python, a tenth of what it takes to send an entry.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SEED, _M, _R = np.uint32(0x9747B28C), np.uint32(0x5BD1E995), np.uint32(24)


def partitions_of(keys: Sequence[bytes], number: int) -> list[int]:
    """Each key's partition of `number`, by murmur2 as in Kafka's DefaultPartitioner. `[n]`."""
    found = np.empty(len(keys), np.int64)
    rows_by_length: dict[int, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        rows_by_length[len(key)].append(row)
    for length, rows in rows_by_length.items():
        joined = np.frombuffer(b"".join([keys[row] for row in rows]), np.uint8).reshape(len(rows), length)
        found[rows] = (_murmur2(joined) & np.uint32(0x7FFFFFFF)) % number
    return found.tolist()


def _murmur2(keys: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Of keys of one length, `[n, length]`; Austin Appleby's MurmurHash2, 32 bits."""
    length = keys.shape[1]
    whole = length - length % 4
    blocks = np.ascontiguousarray(keys[:, :whole]).view("<u4").astype(np.uint32)
    digest = np.full(len(keys), _SEED ^ np.uint32(length), np.uint32)
    for block in blocks.T:
        mixed = block * _M
        mixed ^= mixed >> _R
        digest = digest * _M ^ mixed * _M
    if length > whole:
        for place in range(length - whole):
            digest ^= keys[:, whole + place].astype(np.uint32) << np.uint32(8 * place)
        digest *= _M
    digest ^= digest >> np.uint32(13)
    digest *= _M
    return digest ^ digest >> np.uint32(15)
