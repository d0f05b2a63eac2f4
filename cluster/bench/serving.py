"""Recommendations over HTTP under closed-loop load: requests a second and latency, by number of connections."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.domain.slates import ServedBy
from cluster.bench.load import Load, run_load, wrk
from cluster.bench.measure import machine
from cluster.bench.served import NO_HURRY, OPEN_DOORS, Served
from cluster.bench.ways import OURS, RIVALS, WAYS, Way

CONNECTIONS = (1, 8, 32, 64, 128)
WARM_UP_S, NUM_FIRST = 3, 100


def compare(
    num_learners: int,
    num_contents: int,
    *,
    ways: Sequence[Way] = WAYS,
    connections: Sequence[int] = CONNECTIONS,
    seconds: int,
    var_dir: Path,
    out: Path,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Everything with authentication on, PostgreSQL and Redis; 100 candidates, 10 returned.

    Raises NotFound: there is no wrk. LearnrecError: a command failed, or an answer was none.
    """
    wrk()
    for way in ways:
        way.require()
    out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {
        "machine": machine(),
        "num_learners": num_learners,
        "num_contents": num_contents,
        "seconds": seconds,
        "first_ms": {},
        "rows": [],
    }
    made = Served(var_dir.resolve(), out / "serving.log", {**OPEN_DOORS, **NO_HURRY})
    try:
        made.release(num_learners, num_contents, tell=tell)
        paths = made.paths()
        made.learnrec("down")
        for way in ways:
            tell(f"{way.name}: starting")
            with way.opened(made) as served:
                served.wait_until_whole()
                result["first_ms"][way.name] = _first(served, paths[:NUM_FIRST])
                for number in connections:
                    tell(f"{way.name}: {number} connections for {seconds} s")
                    result["rows"].append({"way": way.name, **_measured(served, paths, number, seconds)})
    finally:
        made.learnrec("down")
    return {**result, "ratios": _ratios(result["rows"])}


def _first(served: Served, paths: Sequence[str]) -> dict[str, float]:
    """Milliseconds of the first answers after it said that it is ready, asked one after another on one connection."""
    took = []
    with httpx.Client(
        base_url=served.url(), headers={"Authorization": f"Bearer {served.token()}"}, trust_env=False
    ) as http:
        http.get("/health").raise_for_status()  # what the first question costs this side
        for path in paths:
            began = time.monotonic()
            http.get(path).raise_for_status()
            took.append(1000 * (time.monotonic() - began))
    first, *others = took
    return {"first": round(first, 1), "second": round(others[0], 1), "median": round(float(np.median(others)), 1)}


def _ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Requests a second over each rival's, at each number of connections."""
    rate = {(row["way"], row["connections"]): row["per_s"] for row in rows}
    pairs = [(rival, n) for rival, n in rate if rival in RIVALS and (OURS, n) in rate]
    return {f"requests/s over {rival}, {n} connections": rate[OURS, n] / rate[rival, n] for rival, n in pairs}


def _measured(served: Served, paths: Sequence[str], connections: int, seconds: int) -> dict[str, Any]:
    """One load, after a short one to warm up; CPU and stages of what it took."""
    token, url = served.token(), served.url()
    run_load(url, paths, token=token, connections=connections, seconds=WARM_UP_S)
    cpu, stages, rungs, began = served.cpu(), served.stages(), served.rungs(), time.monotonic()
    load = run_load(url, paths, token=token, connections=connections, seconds=seconds)
    elapsed = time.monotonic() - began
    spent = {role: round(value - cpu[role], 2) for role, value in served.cpu().items()}
    answered = {rung: round(number - rungs.get(rung, 0.0)) for rung, number in served.rungs().items()}
    stages_ms = _stages_ms(stages, served.stages())
    measured = {**asdict(load), **_shares(load, spent, elapsed), "stages_ms": stages_ms, "answers": answered}
    return {**measured, "full_share": _full_share(answered)}


def _full_share(answered: dict[str, int]) -> float:
    """Of the slates, those by the ranker with nothing missing on the way."""
    missed = max((number for name, number in answered.items() if name.startswith("without ")), default=0)
    total = sum(number for name, number in answered.items() if not name.startswith("without "))
    return round(min(answered.get(ServedBy.RANKER, 0), total - missed) / max(total, 1), 4)


def _shares(load: Load, spent: dict[str, float], elapsed: float) -> dict[str, Any]:
    num = max(load.per_s * load.seconds, 1.0)
    return {
        "cpu_s": spent,
        "cpu_ms_a_request": round(1000 * sum(spent.values()) / num, 3),
        "client_cpu_share": round(load.client_cpu_s / elapsed, 3),
    }


def _stages_ms(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> dict[str, float]:
    """Mean milliseconds of a batch in each stage."""
    means = {}
    for stage, (seconds, number) in after.items():
        seconds_then, number_then = before.get(stage, (0.0, 0.0))
        if number > number_then:
            means[stage] = round(1000 * (seconds - seconds_then) / (number - number_then), 2)
    return means
