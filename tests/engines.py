"""What tests need beside the stack's own engines: a real Milvus 2.3 server, and an engine's life as a context."""

import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from app.settings import Settings, child_environment
from cluster.stack.engine import Engine, Launch
from cluster.stack.engines.milvus_lite import MilvusLiteEngine
from cluster.stack.engines.ray import RayEngine
from cluster.stack.ports import free_ports
from cluster.stack.running import spawn_engine, wait_for


class MilvusServerEngine(MilvusLiteEngine):
    """Milvus 2.3.5, the Go server in one process, as the package `milvus` brings it."""

    name: ClassVar[str] = "milvus-server"
    title: ClassVar[str] = "Milvus server"
    start_timeout_s: ClassVar[float] = 120.0
    stop_timeout_s: ClassVar[float] = 5.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGKILL  # its data is not kept

    def prepare(self) -> None:
        import milvus

        self.home.mkdir(parents=True, exist_ok=True)
        ports = {f"{part}_port": port for part, port in zip(_PARTS, free_ports(len(_PARTS)), strict=True)}
        milvus.MilvusServerConfig(data_dir=str(self.home), proxy_port=self.port, **ports).resolve()
        milvus._initialize_data_files(str(self.home))  # its public start() also runs and waits

    def launch(self) -> Launch:
        environment = {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(free_ports(1)[0]),
            "MILVUSCONF": str(self.home / "configs"),
            "MILVUS_RUN_DIR": str(self.home / "run"),
            "LD_LIBRARY_PATH": str(self.home / "bin"),
        }
        return Launch([str(self.home / "bin" / "milvus"), "run", "standalone"], environment)


_PARTS = ("root_coord", "query_coord", "query_node", "index_node", "data_coord", "data_node")


@contextmanager
def running(kind: type[Engine], folder: Path, **fields: Any) -> Iterator[Engine]:
    """An engine of its own on a free port, its data in `folder`; stopped and gone afterwards."""
    engine = kind(home=folder / kind.name, port=free_ports(1)[0], **fields)
    environment = child_environment(Settings(var_dir=folder))
    started = spawn_engine(engine, stack=str(folder), environment=environment, log=folder / f"{kind.name}.log")
    try:
        list(wait_for([started]))
        yield engine
    finally:
        left = started.stop()
        if isinstance(engine, RayEngine):
            engine.keep_logs()
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"{engine.title} left processes: {left}"
