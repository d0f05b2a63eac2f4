"""A Milvus 2.3 server: for tests and benchmarks, as the stack itself brings Milvus Lite."""

import signal
from typing import ClassVar

from cluster.stack.engine import Launch
from cluster.stack.engines.milvus_lite import MilvusLiteEngine
from cluster.stack.ports import free_ports

_PARTS = ("root_coord", "query_coord", "query_node", "index_node", "data_coord", "data_node")


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
        milvus._initialize_data_files(str(self.home))  # noqa: SLF001  # its public start() also runs and waits

    def launch(self) -> Launch:
        environment = {
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(free_ports(1)[0]),
            "MILVUSCONF": str(self.home / "configs"),
            "MILVUS_RUN_DIR": str(self.home / "run"),
            "LD_LIBRARY_PATH": str(self.home / "bin"),
        }
        return Launch([str(self.home / "bin" / "milvus"), "run", "standalone"], environment)
