"""`learnrec bench`: our ways timed against named rivals, on this machine, in the same run."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.errors import InvalidInput
from cluster.cli.tables import for_tables

bench_app = typer.Typer(no_args_is_help=True, help="Time our ways against named rivals, on this machine.")

SIZES = (1_000_000, 5_000_000)


@bench_app.callback()
def bench() -> None:
    """Time our ways against named rivals, on this machine."""


@bench_app.command()
def features(
    events: Annotated[
        list[int] | None, typer.Option(help="Number of events; may be repeated. 1000000 and 5000000 without it.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder for the events meanwhile; the temporary one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for features.json and logs.")] = Path("var/bench"),
) -> None:
    """Make the features of made-up events: Ray Data against Polars in one process."""
    from cluster.bench.features import compare

    sizes = events or list(SIZES)
    if min(sizes) < 1_000:
        raise InvalidInput(f"--events {min(sizes)}: at least 1000, or there is nothing to measure")
    result = compare(sizes, work=work, log=out, tell=_tell)
    _report(result, _features_table(result), out / "features.json")


@bench_app.command()
def training(
    events: Annotated[int, typer.Option(help="Number of events to learn from.", min=10_000)] = 500_000,
    epochs: Annotated[int, typer.Option(help="Epochs of each way; the first one is left out.", min=2)] = 6,
    work: Annotated[Path | None, typer.Option(help="Folder for the features meanwhile; the temporary one.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for training.json and logs.")] = Path("var/bench"),
) -> None:
    """Train the towers on made-up events: Ray Train against a plain Keras loop in one process."""
    from cluster.bench.training import compare

    result = compare(events, epochs, work=work, log=out, tell=_tell)
    _report(result, _training_table(result), out / "training.json")


@bench_app.command()
def serving(
    learners: Annotated[int, typer.Option(help="Number of learners.", min=100)] = 10_000,
    contents: Annotated[int, typer.Option(help="Number of contents.", min=100)] = 10_000,
    connections: Annotated[
        list[int] | None, typer.Option(help="Clients at once; may be repeated. 1, 8, 32, 64 and 128 without it.")
    ] = None,
    way: Annotated[list[str] | None, typer.Option(help="A way by its name; may be repeated. All without it.")] = None,
    seconds: Annotated[int, typer.Option(help="Of load, each time.", min=1)] = 10,
    out: Annotated[Path, typer.Option(help="Folder for results, logs and the stack itself.")] = Path("var/bench"),
) -> None:
    """Recommendations over HTTP, with authentication, under load from wrk."""
    from cluster.bench.plot import serving_page
    from cluster.bench.serving import CONNECTIONS, compare
    from cluster.bench.ways import ways_named

    result = compare(
        learners,
        contents,
        ways=ways_named(way),
        connections=connections or CONNECTIONS,
        seconds=seconds,
        var_dir=out / f"serving-{learners}-{contents}",
        out=out,
        tell=_tell,
    )
    page = out / "serving.html"
    page.write_text(serving_page(result))
    _report(result, _serving_table(result), out / "serving.json")
    Console(stderr=True, highlight=False).print(f"wrote {page}")


@bench_app.command()
def events(
    events: Annotated[int, typer.Option(help="Number of events to take in from the log.", min=10_000)] = 300_000,
    seconds: Annotated[int, typer.Option(help="Of posting events.", min=1)] = 20,
    out: Annotated[Path, typer.Option(help="Folder for results, logs and the stack itself.")] = Path("var/bench"),
) -> None:
    """Events into Kafka over HTTP, and on into Parquet and PostgreSQL, against plain loops around kafka-python."""
    from cluster.bench.intake import compare

    result = compare(events, seconds, var_dir=out / "events", out=out, tell=_tell)
    _report(result, _events_table(result), out / "events.json")


@bench_app.command()
def chaos(
    learners: Annotated[int, typer.Option(help="Number of learners.", min=100)] = 10_000,
    contents: Annotated[int, typer.Option(help="Number of contents.", min=100)] = 10_000,
    only: Annotated[list[str] | None, typer.Option(help="A part of a victim's name; may be repeated.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for results, logs and the stack itself.")] = Path("var/bench"),
) -> None:
    """Kill, freeze and throttle all that answers depend on, one by one, under steady load; exit 1 where it shows."""
    from cluster.bench.reliability import endure, markdown

    result = endure(learners, contents, only=only, var_dir=out / f"serving-{learners}-{contents}", out=out, tell=_tell)
    (out / "chaos.json").write_text(json.dumps(result, indent=1))
    (out / "chaos.md").write_text(table := markdown(result["rows"]))
    typer.echo(table)
    kept = True
    for row in result["rows"]:
        for shortfall in row["shortfalls"]:
            kept = False
            _tell(f"{row['victim']}, {row['fault']}: {shortfall}")
    _tell(f"wrote {out / 'chaos.json'} and {out / 'chaos.md'}")
    if not kept:
        raise typer.Exit(1)


@bench_app.command()
def overload(
    learners: Annotated[int, typer.Option(help="Number of learners.", min=100)] = 10_000,
    contents: Annotated[int, typer.Option(help="Number of contents.", min=100)] = 10_000,
    seconds: Annotated[int, typer.Option(help="Of load, each time.", min=1)] = 20,
    out: Annotated[Path, typer.Option(help="Folder for results, logs and the stack itself.")] = Path("var/bench"),
) -> None:
    """Offer three times what can be answered: who is let in, how fast, and what the others are told."""
    from cluster.bench.overload import overload

    var_dir = out / f"serving-{learners}-{contents}"
    result = overload(learners, contents, seconds=seconds, var_dir=var_dir, out=out, tell=_tell)
    (out / "overload.json").write_text(json.dumps(result, indent=1))
    for name, value in result.items():
        typer.echo(f"{name:<26} {value}")


@bench_app.command()
def soak(
    learners: Annotated[int, typer.Option(help="Number of learners.", min=100)] = 10_000,
    contents: Annotated[int, typer.Option(help="Number of contents.", min=100)] = 10_000,
    minutes: Annotated[int, typer.Option(help="Of load, 100 requests a second.", min=1)] = 10,
    out: Annotated[Path, typer.Option(help="Folder for results, logs and the stack itself.")] = Path("var/bench"),
) -> None:
    """Steady load for minutes: memory of every deployment, and latency; exit 1 where a deployment's memory grows."""
    from cluster.bench.soak import soak

    var_dir = out / f"serving-{learners}-{contents}"
    result = soak(learners, contents, minutes=minutes, var_dir=var_dir, out=out, tell=_tell)
    (out / "soak.json").write_text(json.dumps(result, indent=1))
    table = Table(title=f"{result['rate']:.0f} requests/s for {minutes} min {_where(result)}")
    for name in ("what", "first third, MiB", "second", "last", "growth"):
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in result["rows"]:
        table.add_row(row["what"], *(f"{mib:,.1f}" for mib in row["mib"]), f"{row['growth']:+.1%}")
    for_tables().print(table)
    for name in ("num_requests", "num_failed", "full_share", "first_ms", "hundredth_ms", "p95_ms"):
        typer.echo(f"{name:<14} {result[name]}")
    if result["grew"]:
        _tell(f"these grew: {', '.join(result['grew'])}")
        raise typer.Exit(1)


@bench_app.command()
def gate(
    requests: Annotated[int, typer.Option(help="Requests of each kind.", min=100)] = 2_000,
    out: Annotated[Path, typer.Option(help="Folder for gate.json.")] = Path("var/bench"),
) -> None:
    """Let requests pass the gate: token, limits and rights. Exits with 1 where 95% take more than a millisecond."""
    from cluster.bench.gate import measure_gate

    result = measure_gate(requests)
    out.mkdir(parents=True, exist_ok=True)
    (out / "gate.json").write_text(json.dumps(result, indent=1))
    table = Table(title=f"the gate, {requests:,} requests {_where(result)}")
    for name in ("request", "p50 µs", "p95 µs", "p99 µs"):
        table.add_column(name, justify="left" if name == "request" else "right")
    for row in result["rows"]:
        table.add_row(row["way"], *(f"{row[name]:.0f}" for name in ("p50_us", "p95_us", "p99_us")))
    for_tables().print(table)
    if max(row["p95_us"] for row in result["rows"]) > result["budget_us"]:
        raise typer.Exit(1)


@bench_app.command()
def tracing(
    learners: Annotated[int, typer.Option(help="Number of learners.", min=100)] = 10_000,
    contents: Annotated[int, typer.Option(help="Number of contents.", min=100)] = 10_000,
    out: Annotated[Path, typer.Option(help="Folder for results, logs and the stack itself.")] = Path("var/bench"),
) -> None:
    """What it costs to trace 5% of 200 requests a second; exit 1 where it is more than 3% of the service's CPU."""
    from cluster.bench.tracing import MOST_COST, tracing

    result = tracing(learners, contents, var_dir=out / f"serving-{learners}-{contents}", out=out, tell=_tell)
    (out / "tracing.json").write_text(json.dumps(result, indent=1))
    for name in ("machine", "cpu_ms_a_request", "median", "cost", "kib_received"):
        typer.echo(f"{name:<18} {result[name]}")
    if result["cost"] > MOST_COST:
        raise typer.Exit(1)


def _serving_table(result: dict[str, Any]) -> Table:
    table = Table(title=f"{result['num_learners']:,} learners, {result['num_contents']:,} contents {_where(result)}")
    columns = ("way", "connections", "requests/s", "p50 ms", "p95 ms", "p99 ms", "failed", "full", "CPU ms/request")
    for name in (*columns, "wrk's CPU"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in result["rows"]:
        quantiles = (f"{row[name]:.1f}" for name in ("p50_ms", "p95_ms", "p99_ms"))
        failed = f"{row['num_refused'] + row['num_broken']}"
        shares = (f"{row['full_share']:.1%}", f"{row['cpu_ms_a_request']:.2f}", f"{row['client_cpu_share']:.0%}")
        table.add_row(row["way"], f"{row['connections']}", f"{row['per_s']:,.0f}", *quantiles, failed, *shares)
    first = (
        f"{way}: the first answer in {ms['first']:.0f} ms, the next 99 in {ms['median']:.0f}"
        for way, ms in result["first_ms"].items()
    )
    table.caption = "\n".join(first)
    return table


def _tell(what: str) -> None:
    Console(stderr=True, highlight=False).print(f"bench: {what}")


def _report(result: dict[str, Any], table: Table, file: Path) -> None:
    file.write_text(json.dumps(result, indent=1))
    for_tables().print(table)
    for name, ratio in result["ratios"].items():
        Console(highlight=False).print(f"{name}: {ratio:.2f}")
    Console(stderr=True, highlight=False).print(f"wrote {file}")


def _training_table(result: dict[str, Any]) -> Table:
    table = Table(title=f"{result['num_epochs']} epochs of the towers {_where(result)}")
    for name in ("way", "seconds an epoch", "examples/s", "all, s", "peak MiB"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in result["rows"]:
        rate = result["num_examples"] / row["epoch_s"]
        cells = (f"{row['epoch_s']:.2f}", f"{rate:,.0f}", f"{row['seconds']:.1f}", f"{row['peak_mib']:,.0f}")
        table.add_row(row["way"], *cells)
    return table


def _events_table(result: dict[str, Any]) -> Table:
    table = Table(title=f"events {_where(result)}")
    for name in ("way", "events/s", "peak MiB"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in result["rows"]:
        table.add_row(row["way"], f"{row['per_s']:,.0f}", f"{row['peak_mib']:,.0f}" if "peak_mib" in row else "")
    return table


def _where(result: dict[str, Any]) -> str:
    on = result["machine"]
    return f"on {on['cores']} cores, {on['memory_gib']} GiB, load {on['load']} at the start"


def _features_table(result: dict[str, Any]) -> Table:
    table = Table(title=f"build_features {_where(result)}")
    for name in ("events", "way", "seconds", "events/s", "start, s", "peak MiB"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for row in result["rows"]:
        rate = row["num_events"] / row["seconds"]
        cells = (f"{row['seconds']:.1f}", f"{rate:,.0f}", f"{row['start_s']:.1f}", f"{row['peak_mib']:,.0f}")
        table.add_row(f"{row['num_events']:,}", row["way"], *cells)
    return table
