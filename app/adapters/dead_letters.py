"""Dead letters: entries of the event log that could not be taken in, with the reason, until they are tried again."""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.ports.entry_log import Entries, EntryLog

VERSION = 1
RETRIED = "retried"
"""Group whose position is behind the letters that were tried again."""

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One entry: where it lay in the event log, why it was set aside, and what it said."""

    position: str
    reason: str
    value: bytes
    key: str = ""  # the learner's id, where it could be read


class DeadLetters:
    """On a log of entries of its own. Every method raises Unavailable as `entries` does."""

    def __init__(self, entries: EntryLog) -> None:
        self._entries = entries

    def put(self, letters: Sequence[DeadLetter]) -> None:
        """Durable when it returns. The same letter again is the same letter."""
        if letters:
            self._entries.append([_encoded(letter) for letter in letters], keys=[letter.key for letter in letters])

    def waiting(self) -> Iterator[DeadLetter]:
        """Those that were not tried again yet, each once."""
        seen: set[str] = set()
        for partition in self._entries.lag(group=RETRIED):
            for letter in _decoded(self._entries.read(group=RETRIED, partition=partition, limit=2**31)):
                if letter.position not in seen:
                    seen.add(letter.position)
                    yield letter

    def retry(self, log: EntryLog) -> int:
        """Put all that wait into the event log once more; returns their number.

        What cannot be taken in again comes back as a new letter.
        """
        count = 0
        for partition in self._entries.lag(group=RETRIED):
            while (entries := self._entries.read(group=RETRIED, partition=partition, limit=_BATCH)).positions:
                letters = {letter.position: letter for letter in _decoded(entries)}.values()
                log.append([letter.value for letter in letters], keys=[letter.key for letter in letters])
                self._entries.commit(group=RETRIED, partition=partition, position=entries.positions[-1])
                count += len(letters)
        return count


def _encoded(letter: DeadLetter) -> bytes:
    fields: dict[str, Any] = {"v": VERSION, "position": letter.position, "reason": letter.reason, "key": letter.key}
    return orjson.dumps(fields | {"value": b64encode(letter.value).decode()})


def _decoded(entries: Entries) -> Iterator[DeadLetter]:
    for value in entries.values:
        said = orjson.loads(value)
        yield DeadLetter(said["position"], said["reason"], b64decode(said["value"]), said["key"])
