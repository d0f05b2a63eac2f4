"""What traces cost: CPU of the service for a request, with some of the requests traced and with none, in turns."""

import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from cluster.bench.measure import machine
from cluster.bench.served import OPEN_DOORS, Served
from cluster.bench.steady import Steady
from cluster.bench.ways import FAISS

RATE, RATIO = 200.0, 0.05
TURNS, TURN_S, SETTLE_S = 8, 12.0, 2.0
SERVING = ("Ingress", "Embedder", "Retriever", "Ranker")
MOST_COST = 0.03


def tracing(
    num_learners: int, num_contents: int, *, var_dir: Path, out: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """RATE requests a second, of which RATIO are traced in every other turn; what arrived is received and dropped."""
    out.mkdir(parents=True, exist_ok=True)
    seen: dict[str, list[float]] = {"none": [], "some": []}
    with _receiver() as (endpoint, received):
        environment = {**OPEN_DOORS, **FAISS, "LEARNREC_OTLP_ENDPOINT": endpoint, "LEARNREC_TRACE_RATIO": "0"}
        served = Served(var_dir.resolve(), out / "tracing.log", environment)
        try:
            served.release(num_learners, num_contents, tell=tell)
            served.serve({})
            served.wait_until_whole()
            tell(f"{RATE:.0f} requests/s, {2 * TURNS} turns of {TURN_S:.0f} s")
            for turn in range(2 * TURNS + 1):
                which = "some" if turn % 2 else "none"
                cost = _turn(served, RATIO if which == "some" else 0.0)
                if turn:  # the first warms up
                    seen[which].append(cost)
        finally:
            served.learnrec("down")
    middle = {which: float(np.median(costs)) for which, costs in seen.items()}
    return {
        "machine": machine(),
        "rate": RATE,
        "ratio": RATIO,
        "cpu_ms_a_request": {which: [round(cost, 3) for cost in costs] for which, costs in seen.items()},
        "median": {which: round(cost, 3) for which, cost in middle.items()},
        "cost": round(middle["some"] / middle["none"] - 1, 4),
        "kib_received": sum(received) // 1024,
    }


def _turn(served: Served, ratio: float) -> float:
    """CPU milliseconds of the service for each request."""

    def headers() -> dict[str, str]:
        sampled = random.random() < ratio  # noqa: S311  # no secret
        return {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-0{int(sampled)}"}

    with Steady(served.url(), served.paths(), token=served.token(), rate=RATE, headers=headers) as load:
        time.sleep(SETTLE_S)
        began, before = time.monotonic(), served.cpu()
        time.sleep(TURN_S)
        after, ended = served.cpu(), time.monotonic()
    answered = len(load.between(began, ended))
    return 1000 * sum(after[role] - before[role] for role in SERVING) / answered


@contextmanager
def _receiver() -> Iterator[tuple[str, list[int]]]:
    """Takes whatever is sent; its address, and the sizes of what came."""
    sizes: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server looks for
            sizes.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", sizes
        server.shutdown()
