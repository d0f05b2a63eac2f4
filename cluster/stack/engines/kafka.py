"""A Kafka broker: for tests and benchmarks, as the stack itself brings Redis. Java and Maven must be there."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from app.errors import NotFound, Unavailable
from cluster.stack.engine import LOOPBACK, Engine, Launch
from cluster.stack.ports import free_ports

POM = Path(__file__).with_name("kafka.pom.xml")
CLUSTER_ID = "bGVhcm5yZWMtZXZlbnRz"
FETCH_TIMEOUT_S = 600
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"


@dataclass(frozen=True)
class KafkaEngine(Engine):
    """Kafka 4 in KRaft mode, broker and controller in one process, from Maven Central's jars."""

    controller_port: int = field(default_factory=lambda: free_ports(1)[0])

    name: ClassVar[str] = "kafka"
    title: ClassVar[str] = "Kafka"
    address_field: ClassVar[str] = "kafka_servers"
    default_port: ClassVar[int] = 9092
    client: ClassVar[str] = "kafka"
    start_timeout_s: ClassVar[float] = 120.0

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        for program in ("java", "mvn"):
            if shutil.which(program) is None:
                raise NotFound(f"a Kafka broker needs {program}: install Java 17 or later, and Maven")
        self.home.mkdir(parents=True, exist_ok=True)
        if not self._classpath.exists():
            into = f"-Dmdep.outputFile={self._classpath.resolve()}"
            self._run("mvn", "--batch-mode", "--quiet", "--file", str(POM), _PLUGIN, into)
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        if not (self.home / "data" / "meta.properties").exists():
            arguments = ("format", "--cluster-id", CLUSTER_ID, "--config", str(self._properties))
            self._run("java", "-cp", self._jars(), "kafka.tools.StorageTool", *arguments)

    def launch(self) -> Launch:
        memory = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC")
        return Launch(["java", *memory, "-cp", self._jars(), "kafka.Kafka", str(self._properties)])

    @staticmethod
    def ping(address: str, *, timeout_s: float = 2.0) -> None:
        from kafka import KafkaConsumer
        from kafka.errors import KafkaError

        from app.adapters.kafka_client import KafkaAccess

        try:
            KafkaConsumer(**KafkaAccess(address).options(timeout_s=timeout_s)).close()
        except (KafkaError, OSError) as exc:
            raise Unavailable("Kafka", str(exc)) from exc

    @property
    def _classpath(self) -> Path:
        return self.home / "classpath"

    @property
    def _properties(self) -> Path:
        return self.home / "server.properties"

    def _jars(self) -> str:
        return self._classpath.read_text().strip()

    def _settings(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{LOOPBACK}:{self.controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{LOOPBACK}:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": str((self.home / "data").resolve()),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
        }

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr).strip().splitlines()[-5:]
            raise Unavailable("Kafka", f"`{command[0]}` ended with {done.returncode}: {' | '.join(said)}")
