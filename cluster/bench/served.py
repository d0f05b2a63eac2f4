"""A stack of the benchmark's own, with a release in production: made once by our own commands, and found again."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import psycopg
import pyarrow as pa
from prometheus_client.parser import text_string_to_metric_families

from app.adapters import logs
from app.domain.contents import CONTENT_SCHEMA
from app.domain.ids import canonical_id
from app.errors import LearnrecError
from app.serving.access import Role
from app.serving.keys import signed
from app.settings import Settings, environment_for, load_settings
from cluster.commands import run_command
from cluster.deploy import deploy, local_config
from cluster.stack.processes import marked
from jobs import stores
from jobs.world.config import WorldConfig
from jobs.world.export import load_world
from jobs.world.world import make_world

END, EVENTS_A_LEARNER, SEED = datetime(2026, 1, 1, tzinfo=UTC), 30, 7
SPEC = """
promote = true
[train_retrieval.towers]
num_epochs = 2
max_examples = 100000
[train_ranking.ranker]
max_queries = 4000
"""
"""Models as large as ever, trained briefly: what they say is not what is measured."""

MOST_MET, PAGE = 20_000, 50_000
"""Contents that the made-up learners choose from; a larger catalogue has others beside them that nobody met yet."""

ROLES = ("Ingress", "Embedder", "Retriever", "Ranker", "haproxy", "bentoml", "postgres", "redis", "milvus")
TOKEN_TTL_S = 3600
WHOLE_WITHIN_S = 60.0
NUM_PATHS, NUM_RETURNED = 5_000, 10
OPEN_DOORS = {"LEARNREC_RATE_LIMIT": "100000000/minute"}
NO_HURRY = {"LEARNREC_REQUEST_TIMEOUT_MS": "60000"}
"""So that every way gives the same answers, and refuses none, however slow it is."""


def unmet(contents: pa.Table, numbers: range) -> pa.Table:
    """More contents, CONTENT_SCHEMA: like those there are in everything but their ids."""
    like = contents.take(np.array(numbers) % len(contents))
    names = [f"unmet-{number}" for number in numbers]
    own = {"content_id": [canonical_id(name) for name in names], "external_id": names}
    for name, values in own.items():
        like = like.set_column(like.schema.get_field_index(name), CONTENT_SCHEMA.field(name), pa.array(values))
    return like


@dataclass
class Served:
    """The stack in `var_dir`; what its commands say goes to `log`."""

    var_dir: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None  # where it answers, if it is not the stack's own service

    def otherwise(self, environment: Mapping[str, str], *, address: str | None = None) -> "Served":
        """The same stack with more in its environment, or answering elsewhere."""
        return replace(self, environment={**self.environment, **environment}, address=address)

    def learnrec(self, *arguments: str, **extra: str) -> None:
        """Raises LearnrecError: the command failed."""
        environment = {**environment_for(self.var_dir), **self.environment, **extra}
        with self.log.open("ab") as stream:
            code = run_command(arguments, environment=environment, output=stream)
        if code:
            raise LearnrecError(f"`learnrec {' '.join(arguments)}` failed with exit code {code}: {self.log} says why")

    def release(self, num_learners: int, num_contents: int, *, tell: Callable[[str], None]) -> None:
        """A world, and models of it in production; the stack is up afterwards, but does not serve."""
        spec = self.var_dir / "bench.toml"
        self.var_dir.mkdir(parents=True, exist_ok=True)
        spec.write_text(SPEC)
        self.learnrec("up", "--no-serve")
        made = self.var_dir / f"made-{num_learners}-{num_contents}"
        if made.exists():
            return
        tell(f"making {num_learners:,} learners and {num_contents:,} contents, and a release of them: minutes, once")
        self._fill(num_learners, num_contents)
        self.learnrec("job", "run", "pipeline", "--spec", str(spec))
        made.touch()

    def serve(self, arguments: dict[str, Any]) -> None:
        """Bring it up and serve with `arguments` of the graph, other than usual. Raises LearnrecError."""
        self.learnrec("up", "--no-serve")
        settings = self.settings()
        config = local_config(settings)
        for application in config["applications"]:
            application["args"] |= arguments
        deploy(settings, config)

    def _fill(self, num_learners: int, num_contents: int) -> None:
        met = min(num_contents, MOST_MET)
        config = WorldConfig(num_learners=num_learners, num_contents=met, end=END, events_per_learner=EVENTS_A_LEARNER)
        settings, world = self.settings(), make_world(config, SEED)
        with stores.warehouse(settings) as warehouse, logs.event_log(settings) as log:
            load_world(world, warehouse=warehouse, log=log, advance=lambda *_: None)
            for start in range(met, num_contents, PAGE):
                warehouse.put_contents(unmet(world.contents, range(start, min(start + PAGE, num_contents))))

    def settings(self) -> Settings:
        return load_settings(var_dir=self.var_dir)

    def url(self) -> str:
        return self.address or f"http://127.0.0.1:{self.settings().http_port}"

    def paths(self) -> list[str]:
        """Questions of learners drawn at random."""
        with psycopg.connect(self.settings().need("postgres_url")) as connection:
            rows = connection.execute("SELECT external_id FROM users ORDER BY user_id").fetchall()
        drawn = np.random.default_rng(SEED).permutation(len(rows))[:NUM_PATHS]
        return [f"/recommend/{rows[at][0]}?k={NUM_RETURNED}" for at in drawn]

    def token(self) -> str:
        return signed(self.settings(), user="bench", role=Role.SERVICE, ttl_s=TOKEN_TTL_S)

    def stages(self) -> dict[str, tuple[float, float]]:
        """Seconds and number of batches so far of each stage, as the ingress counts them."""
        sums = self._samples("learnrec_stage_seconds_sum", "stage")
        numbers = self._samples("learnrec_stage_seconds_count", "stage")
        return {stage: (seconds, numbers.get(stage, 0.0)) for stage, seconds in sums.items()}

    def rungs(self) -> dict[str, float]:
        """Slates so far, by what they were served by; and how many missed what."""
        missed = self._samples("learnrec_degraded_total", "stage")
        return self._samples("learnrec_answers_total", "served_by") | {f"without {k}": v for k, v in missed.items()}

    def wait_until_whole(self) -> None:
        """Raises LearnrecError: something that answers depend on stays away."""
        deadline, seen = time.monotonic() + WHOLE_WITHIN_S, {}
        while time.monotonic() < deadline:
            seen = httpx.get(f"{self.url()}/health", timeout=10, trust_env=False).raise_for_status().json()
            if seen["ready"] and "down" not in seen["dependencies"].values():
                return
            time.sleep(0.2)
        raise LearnrecError(f"not everything answers after {WHOLE_WITHIN_S:.0f} s: {seen}")

    def _samples(self, name: str, label: str) -> dict[str, float]:
        text = httpx.get(f"{self.url()}/metrics", timeout=10, trust_env=False).raise_for_status().text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        found: dict[str, float] = defaultdict(float)
        for sample in samples:
            if sample.name == name:
                found[sample.labels[label]] += sample.value
        return dict(found)

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far of the stack's processes, by role."""
        return self._by_role(lambda process: sum(process.cpu_times()[:2]))

    def memory_mib(self) -> dict[str, float]:
        """What the stack's processes have to themselves, by role."""
        return self._by_role(lambda process: process.memory_full_info().uss / 2**20)

    def _by_role(self, measure: Callable[[psutil.Process], float]) -> dict[str, float]:
        found: dict[str, float] = dict.fromkeys((*ROLES, "other"), 0.0)
        for process in marked(str(self.var_dir)):
            with suppress(psutil.Error):
                told = f"{process.name()} {' '.join(process.cmdline())}"
                role = next((role for role in ROLES if role in told), "other")
                found[role] += measure(process)
        return found
