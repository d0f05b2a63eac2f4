"""A command as a process of its own: how long it took, and how much memory it and its children held."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from app.errors import LearnrecError

SAMPLE_S, SAMPLING_SHARE = 0.1, 0.02  # least pause between looks, and the share of the time that looking may take


@dataclass(frozen=True, slots=True)
class Measured:
    """What a child said (one line of JSON, the last of its output) and what was seen of it."""

    answer: dict[str, Any]
    seconds: float
    peak_mib: float  # proportional set size of it and its children: shared pages count once


def measure(module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Run `python -m module arguments`, its stderr in `log`, by default in our own environment.

    Raises LearnrecError: it failed.
    """
    started, peak = time.monotonic(), 0.0
    with log.open("wb") as stream:
        child = psutil.Popen(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            stderr=stream,
            env=environment,
        )
        try:
            while child.poll() is None:
                looked = time.monotonic()
                peak = max(peak, _held(child))
                with suppress(psutil.TimeoutExpired):
                    child.wait(max(SAMPLE_S, (time.monotonic() - looked) / SAMPLING_SHARE))
        except BaseException:
            child.terminate()
            child.wait()
            raise
        said = child.stdout.read().decode().strip().splitlines()  # a line fits in the pipe
    if child.returncode:
        raise LearnrecError(f"{module} ended with {child.returncode}: {log} says why")
    return Measured(json.loads(said[-1]), time.monotonic() - started, peak / 2**20)


def _held(process: psutil.Popen) -> float:
    total = 0
    with suppress(psutil.Error):
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                seen = member.memory_full_info()
                total += getattr(seen, "pss", 0) or seen.rss  # not every kernel tells the proportional size
    return float(total)


def machine() -> dict[str, Any]:
    """What a figure was taken on."""
    return {
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "load": round(psutil.getloadavg()[0], 1),
    }
