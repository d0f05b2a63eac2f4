"""An import: contents and users into the warehouse, events into the log, bad rows into the reject file."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from app.adapters.event_log import EventLog
from app.errors import InvalidInput, NotFound
from app.ports.metadata import Warehouse
from jobs.imports.mapping import FORMATS, ContentRows, UserRows, load_mapping, mapping_of
from jobs.imports.reading import Block
from jobs.imports.rejects import Rejects
from jobs.imports.rows import good_rows, sieve
from jobs.imports.seen import Seen
from jobs.imports.sources import JsonLines, Piece, Source, Tables
from jobs.progress import steps

SAY_EVERY_S = 2.0

_Bad = list[tuple[int, str, str]]


@dataclass(slots=True)
class Imported:
    """What an import did."""

    users: int = 0
    contents: int = 0
    events: int = 0  # new, and now in the log
    events_stored_before: int = 0
    events_unwanted: int = 0  # of learners who opted out or were erased
    rejected: Counter[str] = field(default_factory=Counter)  # bad rows by reason


def source_of(path: Path, format_: str, mapping: Path | None = None) -> Source:
    """Raises NotFound, and InvalidInput for an unknown format or a mapping that does not fit it."""
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    own = mapping_of(format_)
    if mapping is not None and format_ != "csv":
        raise InvalidInput(
            f"a mapping file goes with --format csv; {format_} is one of the formats that bring their own"
        )
    chosen = load_mapping(mapping) if mapping else own
    return JsonLines(path, chosen) if format_ == "jsonl" else Tables(path, chosen)


def run_import(
    source: Source, *, warehouse: Warehouse, log: EventLog, rejects: Path, now: datetime | None = None
) -> Imported:
    """Take in all rows of `source`; what is there already stays as it is.

    Raises InvalidInput: a file cannot be read at all, or not one row is good.
    """
    with Seen() as seen, Rejects(rejects) as rejected, steps("import", total=source.num_bytes) as advance:
        intake = Intake(warehouse, log, seen=seen, rejects=rejected, now=now or datetime.now(UTC))
        said, position = time.monotonic(), 0

        def on_bytes(count: int) -> None:
            nonlocal position
            position = count

        for piece in source.pieces(on_bytes):
            intake.take(piece)
            if time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                advance(position, f"{intake.done.events:,} events")
    done = intake.done
    done.rejected = rejected.reasons
    if done.rejected and not (done.users or done.contents or done.events or done.events_stored_before):
        raise InvalidInput(f"not one row is good: see {rejects}; --format is one of {', '.join(FORMATS)}")
    return done


class Intake:
    """Sends the good rows of each piece where they belong."""

    def __init__(self, warehouse: Warehouse, log: EventLog, *, seen: Seen, rejects: Rejects, now: datetime) -> None:
        self._warehouse, self._log, self._seen, self._rejects, self._now = warehouse, log, seen, rejects, now
        self.done = Imported()

    def take(self, piece: Piece) -> None:
        rows, block = piece.rows, piece.block
        found = sieve(block)
        good = good_rows(rows, found, now=self._now)
        bad = found.bad
        table, places, repeats = self._unseen(good.table, good.rows)
        bad += [_bad(block, place, "duplicate") for place in repeats]
        if isinstance(rows, UserRows):
            self._warehouse.put_users(table)
            self.done.users += len(table)
        elif isinstance(rows, ContentRows):
            self._warehouse.put_contents(table)
            self.done.contents += len(table)
        else:
            bad += self._take_events(block, table, places)
            if good.also is not None:
                self._take_events(block, *self._unseen(good.also, [])[:2])
        self._rejects.add(piece.file, sorted(bad))

    def _unseen(self, table: pa.Table, places: list[int]) -> tuple[pa.Table, list[int], list[int]]:
        """The rows that did not come before, their places in the block, and the places of the others."""
        key = table.schema.names[0]
        fresh = self._seen.add(key, table.column(key).to_pylist())
        kept = [place for place, new in zip(places, fresh, strict=False) if new]
        repeats = [place for place, new in zip(places, fresh, strict=False) if not new]
        return table.filter(pa.array(fresh, pa.bool_())), kept, repeats

    def _take_events(self, block: Block, events: pa.Table, places: list[int]) -> _Bad:
        """Events that are not stored yet go to the log; returns the rows on contents that are unknown."""
        if not len(events):
            return []
        found = self._warehouse.new_events(events)
        self._log.append(found.known)
        self.done.events += len(found.known)
        self.done.events_stored_before += len(events) - len(found)
        self.done.events_unwanted += found.num_opted_out + found.num_erased
        unknown = set(found.unknown_content.column("event_id").to_pylist())
        ids = events.column("event_id").to_pylist() if unknown else []
        return [_bad(block, place, "unknown content_id") for place, i in zip(places, ids, strict=False) if i in unknown]


def _bad(block: Block, place: int, reason: str) -> tuple[int, str, str]:
    return block.lines[place], reason, block.raws[place]
