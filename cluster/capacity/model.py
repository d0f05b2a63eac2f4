"""The arithmetic of capacity: a load in, replicas, machines, shards, partitions and money out. Pure."""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import InvalidInput

COSTS = Path(__file__).with_name("costs.toml")
STAGES = ("ingress", "embedder", "retriever", "ranker")
HOURS_A_MONTH, GIB = 730, 2**30
MANY_CLIENTS = 64
"""With which the milliseconds of the costs were measured."""


class Load(BaseModel):
    """What is asked of the service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rps: float = Field(gt=0, le=10_000_000, description="recommendations a second, at the peak")
    items: int = Field(ge=1, le=1_000_000_000, description="contents")
    learners: int = Field(ge=1, le=10_000_000_000)
    events_per_day: float = Field(ge=0, le=1e12)


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes."""

    cpu_ms_a_request: float
    replicas: dict[str, int]  # by stage
    replica_gib: dict[str, float]
    stores: dict[str, str]  # what, and how much of it
    serving_cpus: float
    store_cpus: float
    nodes: int
    usd_a_month: dict[str, float]


def load_costs(path: Path = COSTS) -> dict[str, dict[str, float]]:
    """The default's tables, with what `path` says instead. Raises InvalidInput: it says what there is none of."""
    default = tomllib.loads(COSTS.read_text())
    try:
        own = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as exc:
        raise InvalidInput(f"cannot read costs from {path}: {exc}") from exc
    unknown = [f"{table}.{name}" for table, of in own.items() for name in of if name not in default.get(table, {})]
    if unknown:
        raise InvalidInput(f"{path} has {', '.join(unknown)}, of which nothing is reckoned: see {COSTS.name}")
    return {table: {**of, **own.get(table, {})} for table, of in default.items()}


def load_of(**values: Any) -> Load:
    """Raises InvalidInput, with all that is wrong."""
    try:
        return Load(**values)
    except ValidationError as exc:
        faults = "; ".join(f"--{str(e['loc'][0]).replace('_', '-')}: {e['msg']}" for e in exc.errors())
        raise InvalidInput(f"such a load cannot be reckoned: {faults}") from exc


def stage_ms(items: int, costs: dict[str, dict[str, float]]) -> dict[str, float]:
    """CPU milliseconds a request, by who spends them; more contents cost the retriever."""
    serving, contents = costs["serving"], costs["contents"]
    spent = {name.removesuffix("_ms"): value for name, value in serving.items() if name.endswith("_ms")}
    more = contents["scale_ms"] * items ** contents["power"] - contents["offset_ms"]
    return {**spent, "retriever": spent["retriever"] + max(0.0, more)}


def most_rps(cpus: float, load: tuple[int, int], costs: dict[str, dict[str, float]]) -> float:
    """Requests a second that so many CPUs answer with everything on them, at the most: what a benchmark finds.

    `load`: contents, and clients that never rest; few of them make small batches, which are dearer.
    """
    items, clients = load
    few = costs["serving"]["few"]
    usual, more = sum(stage_ms(10_000, costs).values()), sum(stage_ms(items, costs).values())
    spent_ms = usual * (1 + few / clients) / (1 + few / MANY_CLIENTS) + more - usual
    return cpus * costs["serving"]["saturation"] * 1000 / spent_ms


def search_ms(items: int, costs: dict[str, dict[str, float]]) -> float:
    """Of Milvus, a request: it visits `probes` of 4 x sqrt(items) lists."""
    milvus = costs["milvus"]
    visited = milvus["probes"] * max(1.0, math.sqrt(items) / 4)
    return milvus["search_ms"] * max(1.0, visited / milvus["visited"])


def plan(load: Load, costs: dict[str, dict[str, float]]) -> Plan:
    spent, planned = stage_ms(load.items, costs), costs["serving"]["planned"]
    busy = {stage: load.rps * ms / 1000 / planned for stage, ms in spent.items()}
    spare = costs["node"]["spare"]
    replicas = {stage: max(2 if stage == "ingress" else 1, math.ceil(busy[stage] * spare)) for stage in STAGES}
    beside = (busy["haproxy"] + busy["ray"]) * spare
    memory = {stage: _replica_gib(stage, load.items, costs) for stage in STAGES}
    serving_cpus = sum(replicas.values()) + beside
    nodes = _nodes(serving_cpus, sum(memory[s] * n for s, n in replicas.items()), load.items, costs)
    stores, store_cpus, storage_gib = _stores(load, costs, busy)
    node = costs["node"]
    money = {
        "serving": nodes * node["cpus"] * node["cpu_hour_usd"] * HOURS_A_MONTH,
        "stores": store_cpus * node["cpu_hour_usd"] * HOURS_A_MONTH,
        "storage": storage_gib * node["storage_gib_month_usd"],
    }
    cost = sum(spent.values()) + search_ms(load.items, costs)
    return Plan(cost, replicas, memory, stores, serving_cpus, store_cpus, nodes, money)


def _replica_gib(stage: str, items: int, costs: dict[str, dict[str, float]]) -> float:
    memory = costs["memory"]
    own = memory["own_bytes"] if stage == "ingress" else 0
    return round(memory[f"{stage}_gib"] + memory["releases"] * max(0, items - 10_000) * own / GIB, 2)


def _nodes(cpus: float, gib: float, items: int, costs: dict[str, dict[str, float]]) -> int:
    """Each holds the release's files once, whatever replicas are on it. Raises InvalidInput: they do not fit."""
    node, memory = costs["node"], costs["memory"]
    shared_gib = memory["releases"] * items * memory["shared_bytes"] / GIB
    free_gib = node["memory_gib"] * node["usable"] - shared_gib
    if free_gib <= 0:
        raise InvalidInput(
            f"two releases of {items:,} contents take {shared_gib:,.0f} GiB of a machine that has"
            f" {node['memory_gib']:,.0f}: give larger machines in --costs, [node] memory_gib"
        )
    return max(3, math.ceil(max(cpus / (node["cpus"] * node["usable"]), gib / free_gib)))


def _stores(
    load: Load, costs: dict[str, dict[str, float]], busy: dict[str, float]
) -> tuple[dict[str, str], float, float]:
    """What each store is to be, their CPUs together, and GiB on disks."""
    milvus, events, redis = costs["milvus"], costs["events"], costs["redis"]
    shards = math.ceil(load.items * milvus["bytes_per_vector"] / GIB / milvus["shard_gib"])
    search_cpus = load.rps * search_ms(load.items, costs) / 1000 / costs["serving"]["planned"]
    peak_events = load.events_per_day / 86_400 * events["peak"]
    partitions = max(int(events["min_partitions"]), math.ceil(peak_events / events["per_partition_s"]))
    intake = peak_events / events["accepted_per_core_s"] + peak_events / events["ingested_per_core_s"]
    rows_gib = load.events_per_day * events["raw_days"] * events["row_bytes"] / GIB
    parquet_gib = load.events_per_day * 365 * events["parquet_bytes"] / GIB
    redis_gib = load.learners * redis["active_share"] * redis["learner_bytes"] / GIB
    told = {
        "Milvus": f"{shards} shards of {milvus['shard_gib']:.0f} GiB, {math.ceil(search_cpus)} CPUs",
        "Kafka": f"{partitions} partitions, {peak_events:,.0f} events/s at the peak",
        "PostgreSQL": f"{max(2, math.ceil(busy['postgres']))} CPUs, {rows_gib:,.0f} GiB of events",
        "Redis": f"{max(1, math.ceil(busy['redis']))} CPUs, {redis_gib:,.1f} GiB",
        "objects": f"{parquet_gib:,.0f} GiB of events a year",
    }
    cpus = search_cpus + max(2, busy["postgres"]) + max(1, busy["redis"]) + max(3, intake)
    return told, cpus, rows_gib + parquet_gib + redis_gib
