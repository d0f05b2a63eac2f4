"""VAR: the folder of everything that a stack keeps, and what is noted there of its processes."""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from app.errors import Conflict
from app.settings import addresses_path
from cluster.stack.engine import Engine

CONTENTS = ("run", "log", "keys", "objects", "releases", "postgres", "redis", "milvus", "mlflow", "ray", "demo.json")
"""What a wipe removes; anything else in VAR is not ours."""

CLOCK_TOLERANCE_S = 2.0


class Record(BaseModel):
    """The main process of an engine, noted as soon as it is started."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    created_at: float  # by this a process is told from a later one with the same number
    port: int
    dashboard_port: int | None = None  # of Ray
    inherited: str | None = None  # digest of the addresses that its environment carries: Ray's children use those

    def process(self) -> psutil.Process | None:
        """The process, while it lives."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created_at) < CLOCK_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def sessions(self) -> tuple[int, ...]:
        """The session that the process opened, which its children stay in; none where its number went to another.

        After a restart of the machine, or of the container, numbers begin anew and say nothing.
        """
        if self.process() is not None:
            return (self.pid,)
        restarted = psutil.Process(1).create_time() > self.created_at
        return () if restarted or psutil.pid_exists(self.pid) else (self.pid,)


@dataclass(frozen=True)
class Var:
    """`root` is absolute: the marker of the stack's processes, and what engines are given."""

    root: Path

    @property
    def stack(self) -> str:
        return str(self.root)

    def home(self, kind: type[Engine]) -> Path:
        return self.root / kind.name

    def log(self, name: str) -> Path:
        return self.root / "log" / f"{name}.log"

    def record(self, kind: type[Engine]) -> Record | None:
        try:
            return Record.model_validate_json(self._record_path(kind.name).read_text())
        except (OSError, ValidationError):  # none, or cut off by a crash: the marker finds the process
            return None

    def remember(self, kind: type[Engine], record: Record) -> None:
        _write_private(self._record_path(kind.name), record.model_dump_json())

    def forget(self, kind: type[Engine]) -> None:
        """Drop the record and the address."""
        self._record_path(kind.name).unlink(missing_ok=True)
        self.set_addresses({kind.address_field: None})

    def addresses(self) -> dict[str, str | int]:
        try:
            return json.loads(addresses_path(self.root).read_text())
        except (OSError, ValueError):
            return {}

    def set_addresses(self, changes: dict[str, str | int | None]) -> None:
        """Change what `load_settings` reads; None removes. Holds passwords: for the owner's eyes only."""
        merged = {name: value for name, value in {**self.addresses(), **changes}.items() if value is not None}
        path = addresses_path(self.root)
        if merged:
            _write_private(path, json.dumps(merged, indent=2))
        else:
            path.unlink(missing_ok=True)

    def secret(self, name: str) -> str:
        """A random secret, made at the first call and kept."""
        path = self.root / "keys" / name
        if not path.exists():
            _write_private(path, secrets.token_hex(32))
        return path.read_text().strip()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other `up` and `down` away. The lock ends with its holder, however that ends.

        Raises Conflict: another holds it, or VAR cannot be written.
        """
        holder = self.root / "run" / "holder"
        try:
            holder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / "run" / "lock", timeout=0)
            lock.acquire()
        except Timeout as exc:
            pid = holder.read_text() if holder.exists() else "?"
            raise Conflict(f"another `learnrec up` or `down` (process {pid}) is at work on {self.root}: wait") from exc
        except OSError as exc:
            raise Conflict(f"{self.root} cannot be written ({exc.strerror}): choose another LEARNREC_VAR_DIR") from exc
        try:
            _write_private(holder, str(os.getpid()))
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def wipe(self) -> list[str]:
        """Remove everything of ours, for good; returns the names of what else is in VAR and stays."""
        for name in CONTENTS:
            path = self.root / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        rest = sorted(path.name for path in self.root.iterdir()) if self.root.exists() else []
        if not rest and self.root.exists():
            self.root.rmdir()
        return rest

    def _record_path(self, name: str) -> Path:
        return self.root / "run" / f"{name}.json"


def _write_private(path: Path, text: str) -> None:
    """Replace the file at once, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)
