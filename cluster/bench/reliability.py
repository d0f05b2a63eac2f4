"""The chaos suite on a stack of its own: every dependency killed, frozen and throttled under steady load."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from cluster.bench.chaos import RATE, chaos, restarts, wait_until_full
from cluster.bench.measure import machine
from cluster.bench.served import OPEN_DOORS, Served
from cluster.bench.steady import Steady
from cluster.bench.victims import victims
from cluster.bench.ways import FAISS, MILVUS

READY_S = 60.0


def endure(
    num_learners: int,
    num_contents: int,
    *,
    only: Sequence[str] | None = None,
    var_dir: Path,
    out: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Rows of `chaos`, authentication on. Raises InvalidInput: no victim has a name in `only`."""
    out.mkdir(parents=True, exist_ok=True)
    made = Served(var_dir.resolve(), out / "chaos.log", OPEN_DOORS)
    chosen = [one for one in victims(made) if not only or any(word.lower() in one.name.lower() for word in only)]
    if not chosen:
        raise InvalidInput(f"no victim {', '.join(only or ())}: there are {', '.join(v.name for v in victims(made))}")
    result: dict[str, Any] = {"machine": machine(), "rate": RATE, "rows": []}
    of_milvus = [victim for victim in chosen if victim.label == "milvus"]
    others = [victim for victim in chosen if victim not in of_milvus]
    made.release(num_learners, num_contents, tell=tell)
    made.learnrec("down")  # what serves next starts with an environment of its own
    if others:  # on FAISS: Milvus Lite, in pure Python, is late now and then on a machine as busy as this
        with _under_load(made.otherwise(FAISS)) as (served, load):
            result["rows"] += chaos(load, others, tell=tell)
            if not only:
                result["rows"] += restarts(load, served, tell=tell)
    if of_milvus:
        with _under_load(made.otherwise(MILVUS)) as (_, load):
            result["rows"] += chaos(load, of_milvus, tell=tell)
    return result


@contextmanager
def _under_load(served: Served) -> Iterator[tuple[Served, Steady]]:
    try:
        served.serve({})
        served.wait_until_whole()
        with Steady(served.url(), served.paths(), token=served.token(), rate=RATE) as load:
            wait_until_full(load, READY_S)
            yield served, load
    finally:
        served.learnrec("down")


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The table as docs/reliability.md shows it."""
    heads = ("what", "fault", "requests", "not 200", "empty", "p99 before, ms", "p99 in it, ms", "degraded")
    heads = (*heads, "back after, s", "full again, s")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        num = max(sum(row["labels"].values()), 1)
        said = ", ".join(f"{label} {count / num:.0%}" for label, count in row["labels"].items() if label) or "-"
        full = "never" if row["full_again_s"] is None else f"{row['full_again_s']:.1f}"
        cells = (row["victim"], row["fault"], row["num_requests"], row["num_failed"], row["num_empty"])
        times = (f"{row['p99_before_ms']:.0f}", f"{row['p99_ms']:.0f}", said, f"{row['down_s']:.1f}", full)
        lines.append("| " + " | ".join(map(str, (*cells, *times))) + " |")
    return "\n".join(lines)
