"""Steady load for minutes: whether memory or latency grow."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cluster.bench.measure import machine
from cluster.bench.served import OPEN_DOORS, ROLES, Served
from cluster.bench.steady import Steady
from cluster.bench.ways import FAISS

RATE = 100.0
LOOK_EVERY_S = 10.0
SERVING = ("Ingress", "Embedder", "Retriever", "Ranker")
MOST_GROWTH = 0.02
"""Of a deployment's memory, from the second third of the time to the last: below that it is noise."""


def soak(
    num_learners: int, num_contents: int, *, minutes: int, var_dir: Path, out: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """RATE requests a second; memory of each deployment and latency by thirds of the time, and what grew."""
    out.mkdir(parents=True, exist_ok=True)
    served = Served(var_dir.resolve(), out / "soak.log", {**OPEN_DOORS, **FAISS})
    try:
        served.release(num_learners, num_contents, tell=tell)
        served.serve({})
        served.wait_until_whole()
        tell(f"{RATE:.0f} requests/s for {minutes} min")
        seen: list[dict[str, float]] = []
        began = time.monotonic()
        with Steady(served.url(), served.paths(), token=served.token(), rate=RATE) as load:
            while (left := began + 60 * minutes - time.monotonic()) > 0:
                time.sleep(min(LOOK_EVERY_S, left))
                seen.append(served.memory_mib())
            ended = time.monotonic()
            answers = sorted(load.between(began, ended), key=lambda answer: answer.asked_at)
    finally:
        served.learnrec("down")
    latencies = [answer.latency_ms for answer in answers]
    rows = [_row(role, [memory.get(role, 0.0) for memory in seen]) for role in ROLES if seen[0].get(role)]
    p95 = [round(float(np.percentile(third, 95)), 1) for third in np.array_split(latencies, 3)]
    return {
        "machine": machine(),
        "minutes": minutes,
        "rate": RATE,
        "num_requests": len(answers),
        "num_failed": sum(answer.status != 200 for answer in answers),
        "full_share": round(sum(answer.is_full for answer in answers) / max(len(answers), 1), 4),
        "first_ms": [round(latency, 1) for latency in latencies[:3]],
        "hundredth_ms": [round(latency, 1) for latency in latencies[99:102]],
        "p95_ms": p95,
        "rows": rows,
        "grew": [row["what"] for row in rows if row["what"] in SERVING and row["growth"] > MOST_GROWTH],
    }


def _row(role: str, mib: Sequence[float]) -> dict[str, Any]:
    thirds = [float(np.mean(third)) for third in np.array_split(np.array(mib), 3)]
    return {"what": role, "mib": [round(third, 1) for third in thirds], "growth": round(thirds[2] / thirds[1] - 1, 4)}
