"""What tests need beside the stack's own engines: an engine's life as a context."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.settings import Settings, child_environment
from cluster.stack.engine import Engine
from cluster.stack.engines.ray import RayEngine
from cluster.stack.ports import free_ports
from cluster.stack.running import alone


@contextmanager
def running(kind: type[Engine], folder: Path, **fields: Any) -> Iterator[Engine]:
    """An engine of its own on a free port, its data in `folder`; stopped and gone afterwards."""
    engine = kind(home=folder / kind.name, port=free_ports(1)[0], **fields)
    environment = child_environment(Settings(var_dir=folder))
    try:
        with alone(engine, stack=str(folder), environment=environment, log=folder / f"{kind.name}.log"):
            yield engine
        if isinstance(engine, RayEngine):
            engine.keep_logs()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
