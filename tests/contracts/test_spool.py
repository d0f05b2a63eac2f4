"""The spool: what it took is on the disk, in order, and never more than it may hold."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.adapters.spool import Spool
from app.errors import Unavailable

MIB = 2**20


def entries(start: int, stop: int) -> tuple[list[bytes], list[str]]:
    return [f"entry {i}".encode() for i in range(start, stop)], [f"key {i}" for i in range(start, stop)]


def put(spool: Spool, start: int, stop: int) -> None:
    values, keys = entries(start, stop)
    spool.put(values, keys=keys)


def test_entries_come_back_in_order_until_they_are_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "spool.db", max_bytes=MIB)
    assert spool.oldest(10) is None
    put(spool, 0, 3)
    put(spool, 3, 5)

    first = spool.oldest(4)

    assert first is not None
    assert (list(first.values), list(first.keys)) == entries(0, 4)
    assert len(spool) == 5
    spool.drop(first.last)
    rest = spool.oldest(4)
    assert rest is not None
    assert list(rest.values) == entries(4, 5)[0]
    spool.drop(rest.last)
    assert (len(spool), spool.oldest(1)) == (0, None)


def test_what_it_took_survives_the_process(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from app.adapters.spool import Spool;"
        f"Spool(Path(sys.argv[1]), max_bytes={MIB}).put([b'kept'], keys=['k']); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "s.db")], timeout=60, check=False).returncode == 9

    oldest = Spool(tmp_path / "s.db", max_bytes=MIB).oldest(10)

    assert oldest is not None
    assert oldest.values == (b"kept",)


def test_two_may_share_it(tmp_path: Path) -> None:
    one, other = (Spool(tmp_path / "s.db", max_bytes=MIB) for _ in range(2))
    put(one, 0, 2)
    put(other, 2, 4)

    oldest = one.oldest(10)

    assert oldest is not None
    assert list(oldest.values) == entries(0, 4)[0]


def test_a_full_one_takes_nothing_of_a_batch_and_has_room_again_when_emptied(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.db", max_bytes=64 * 1024)
    big = [b"x" * 1000] * 20

    def fill() -> None:
        for _ in range(10):
            spool.put(big, keys=["k"] * 20)

    with pytest.raises(Unavailable, match="full"):
        fill()

    taken = len(spool)
    assert taken in range(20, 200, 20)
    oldest = spool.oldest(taken)
    assert oldest is not None
    spool.drop(oldest.last)
    spool.put(big, keys=["k"] * 20)
    assert len(spool) == 20


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="spool"):
        Spool(tmp_path / "file" / "spool.db", max_bytes=MIB)
