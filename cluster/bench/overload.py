"""Three times as many requests as can be answered: who is let in, how fast, and what the others are told."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from cluster.bench.load import run_load
from cluster.bench.measure import machine
from cluster.bench.served import OPEN_DOORS, Served
from cluster.bench.steady import Answered, Steady
from cluster.bench.ways import FAISS

TIMES = 3
PROBES_PER_S = 20.0
PAUSE_MS, CYCLE_MS = 300, 350
"""Mean time between an answer and its client's next request, and between two requests of a client."""

REFUSED = (429, 503)


def overload(
    num_learners: int,
    num_contents: int,
    *,
    seconds: int,
    var_dir: Path,
    out: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Capacity first, with 64 clients that never rest; then the flood, and beside it a few requests looked into."""
    out.mkdir(parents=True, exist_ok=True)
    served = Served(var_dir.resolve(), out / "overload.log", {**OPEN_DOORS, **FAISS})
    try:
        served.release(num_learners, num_contents, tell=tell)
        served.serve({})
        served.wait_until_whole()
        return {
            "machine": machine(),
            "budget_ms": served.settings().request_timeout_ms,
            **_flood(served, seconds, tell),
        }
    finally:
        served.learnrec("down")


def _flood(served: Served, seconds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    url, token, paths = served.url(), served.token(), served.paths()
    tell("capacity: 64 clients")
    run_load(url, paths, token=token, connections=64, seconds=3)
    capacity = run_load(url, paths, token=token, connections=64, seconds=seconds).per_s
    clients = round(TIMES * capacity * CYCLE_MS / 1000)
    tell(f"flood: {clients} clients, {TIMES} times {capacity:.0f} requests/s")
    with ThreadPoolExecutor(1) as pool, Steady(url, paths, token=token, rate=PROBES_PER_S) as probes:
        flood = pool.submit(
            run_load, url, paths, token=token, connections=clients, seconds=seconds, pause_ms=PAUSE_MS
        ).result()
    offered = flood.per_s + flood.num_refused / flood.seconds
    return {
        "capacity_per_s": capacity,
        "offered_per_s": offered,
        "answered_per_s": flood.per_s,
        "refused_per_s": flood.num_refused / flood.seconds,
        "num_broken": flood.num_broken,
        **_seen(probes.answers),
    }


def _seen(answers: Sequence[Answered]) -> dict[str, Any]:
    """What a few of the clients saw."""
    let_in = [answer for answer in answers if answer.status == 200]
    refused = [answer for answer in answers if answer.status in REFUSED]
    return {
        "num_probes": len(answers),
        "num_let_in": len(let_in),
        "num_refused": len(refused),
        "num_other": len(answers) - len(let_in) - len(refused),
        "num_without_retry_after": sum(not answer.retry_after for answer in refused),
        "num_empty": sum(not answer.num_items for answer in let_in),
        "full_share": sum(answer.is_full for answer in let_in) / max(len(let_in), 1),
        "let_in_ms": _quantiles(let_in),
        "refused_ms": _quantiles(refused),
    }


def _quantiles(answers: Sequence[Answered]) -> dict[str, float]:
    latencies = [answer.latency_ms for answer in answers] or [float("nan")]
    return {f"p{q}": round(float(np.percentile(latencies, q)), 1) for q in (50, 95, 99)}
