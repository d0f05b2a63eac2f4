"""A real Prometheus on the configuration of the repository, which asks a running service."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from cluster.stack.ports import free_ports
from tests.observability.tools import OBSERVABILITY, program
from tests.serving.waiting import until


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30, trust_env=False)
        return answer.raise_for_status().json()["data"]

    def values(self, query: str) -> list[float]:
        """What a query gives now."""
        return [float(one["value"][1]) for one in self.get("query", query=query)["result"]]

    @property
    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, Sequence[str]]) -> Iterator[Prometheus]:
    """With these targets for its jobs, by job, and a second where the configuration has more."""
    config = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(OBSERVABILITY / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        job.pop("file_sd_configs", None)
        job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
    path, (port,) = folder / "prometheus.yml", free_ports(1)
    path.write_text(yaml.safe_dump(config))
    command = [program("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    running = Prometheus(f"http://127.0.0.1:{port}")
    with (folder / "prometheus.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until(lambda: running.is_ready, seconds=30)
            yield running
        finally:
            process.terminate()


def metrics_ports_of_ray(address: str) -> list[str]:
    """Where the nodes of the cluster at `address` tell their metrics."""
    from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module

    nodes = GcsClient(address=address).get_all_node_info(timeout=10).values()
    return [f"127.0.0.1:{node.metrics_export_port}" for node in nodes]
