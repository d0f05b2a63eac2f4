"""Closed-loop load by wrk on loopback: paths, or bodies to post, at random; a token on every request."""

import json
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import LearnrecError, NotFound

QUANTILES = (50, 95, 99)

_SCRIPT = """
local lines = {}
for line in io.lines(os.getenv("BENCH_LINES")) do lines[#lines + 1] = line end
local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN"), ["Content-Type"] = "application/json" }
local posted_to = os.getenv("BENCH_POSTED_TO")

function init(arguments) math.randomseed(tonumber(arguments[1])) end
function request()
  local line = lines[math.random(#lines)]
  if posted_to ~= "" then return wrk.format("POST", posted_to, headers, line) end
  return wrk.format("GET", line, headers)
end
local pause = tonumber(os.getenv("BENCH_PAUSE_MS"))
if pause > 0 then function delay() return math.random(0, 2 * pause) end end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "seconds": %f, "p50": %f, "p95": %f, "p99": %f, "refused": %d, "broken": %d}\\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it; latencies in milliseconds, as the client saw them."""

    connections: int
    per_s: float  # good answers
    p50_ms: float
    p95_ms: float
    p99_ms: float
    num_refused: int  # answers other than 2xx and 3xx
    num_broken: int  # connections that failed, or had no answer in time
    client_cpu_s: float
    seconds: float


def wrk() -> str:
    """Its path. Raises NotFound."""
    found = shutil.which("wrk")
    if found is None:
        raise NotFound("wrk is not installed: `apt-get install wrk`, or https://github.com/wg/wrk")
    return found


def run_load(
    url: str,
    lines: Sequence[str],
    *,
    token: str,
    connections: int,
    seconds: int,
    pause_ms: int = 0,
    posted_to: str = "",
) -> Load:
    """`connections` clients, each asking for the next of `lines` at random as soon as it has an answer.

    They are paths, or with `posted_to` bodies for that path. With `pause_ms`, each client rests for so long on average
    before it asks again.
    Raises NotFound: there is no wrk. LearnrecError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        script, file = Path(folder) / "load.lua", Path(folder) / "lines"
        script.write_text(_SCRIPT)
        file.write_text("\n".join(lines))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout=10s", "-s", str(script), url]
        ran = subprocess.run(
            [*command, "--", str(connections)],
            env={
                "BENCH_LINES": str(file),
                "BENCH_TOKEN": token,
                "BENCH_PAUSE_MS": str(pause_ms),
                "BENCH_POSTED_TO": posted_to,
            },
            capture_output=True,
            text=True,
            timeout=seconds + 60,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode:
        raise LearnrecError(f"wrk ended with {ran.returncode}: {ran.stderr.strip() or ran.stdout.strip()}")
    said = json.loads(ran.stdout.strip().splitlines()[-1])
    return Load(
        connections=connections,
        per_s=(said["requests"] - said["refused"]) / said["seconds"],
        p50_ms=said["p50"],
        p95_ms=said["p95"],
        p99_ms=said["p99"],
        num_refused=said["refused"],
        num_broken=said["broken"],
        client_cpu_s=(after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime),
        seconds=said["seconds"],
    )
