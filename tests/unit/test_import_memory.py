"""What an import remembers: ids that came before, and rows that were bad."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.imports.rejects import Rejects
from jobs.imports.seen import Seen


@settings(deadline=None)
@given(st.lists(st.lists(st.uuids().map(str), max_size=10), max_size=5))
def test_seen_knows_every_id_that_came_before(batches: list[list[str]]) -> None:
    before: set[str] = set()
    with Seen() as seen:
        for batch in batches:
            expected = []
            for one in batch:
                expected.append(one not in before)
                before.add(one)
            assert seen.add("event", batch) == expected


def test_seen_keeps_kinds_apart() -> None:
    with Seen() as seen:
        assert seen.add("user", ["a"]) == [True]
        assert seen.add("content", ["a", "a"]) == [True, False]


def test_the_reject_file_appears_with_the_first_bad_row(tmp_path: Path) -> None:
    with Rejects(tmp_path / "none.csv"):
        pass
    with Rejects(tmp_path / "deep" / "some.csv") as rejects:
        rejects.add("events.csv", [(3, "bad ts", 'a,"b"')])

    assert not (tmp_path / "none.csv").exists()
    assert (tmp_path / "deep" / "some.csv").read_text().splitlines() == [
        "file,line,reason,raw",
        'events.csv,3,bad ts,"a,""b"""',
    ]
    assert rejects.reasons == {"bad ts": 1}
