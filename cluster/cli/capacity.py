"""`learnrec capacity`: what a load takes, from what was measured."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from cluster.cli.tables import for_tables


def capacity(
    rps: Annotated[float, typer.Option(help="Recommendations a second, at the peak.")] = 500,
    items: Annotated[int, typer.Option(help="Contents.")] = 10_000,
    learners: Annotated[int, typer.Option(help="Learners.")] = 1_000_000,
    events_per_day: Annotated[float, typer.Option(help="Events a day.")] = 1_000_000,
    costs: Annotated[
        Path | None, typer.Option(help="TOML with costs of your own; what it leaves out is as measured here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Replicas, machines, shards, partitions and money for a load. docs/capacity.md says what it is reckoned from."""
    from dataclasses import asdict

    from cluster.capacity.model import COSTS, STAGES, load_costs, load_of, plan

    load = load_of(rps=rps, items=items, learners=learners, events_per_day=events_per_day)
    known = load_costs(costs or COSTS)
    made = plan(load, known)
    if as_json:
        typer.echo(json.dumps({"load": load.model_dump(), **asdict(made)}, indent=1))
        return
    table = Table("what", "how much", box=None, pad_edge=False)
    for stage in STAGES:
        table.add_row(stage, f"{made.replicas[stage]:,} × 1 CPU, {made.replica_gib[stage]:.1f} GiB of its own")
    node = known["node"]
    table.add_row(
        "machines", f"{made.nodes:,} of {node['cpus']:.0f} CPUs and {node['memory_gib']:.0f} GiB, a third spare"
    )
    for store, told in made.stores.items():
        table.add_row(store, told)
    for what, usd in made.usd_a_month.items():
        table.add_row(f"{what}, a month", f"${usd:,.0f}")
    for_tables().print(table)
    typer.echo(
        f"{made.cpu_ms_a_request:.2f} ms of CPU a request, {known['serving']['planned']:.0%} of each CPU planned for"
    )
    if items > 1_000_000:
        typer.echo("measured up to 1,000,000 contents: beyond that it is extrapolated")
