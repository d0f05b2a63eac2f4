"""`learnrec events`: the log of events, and what could not be taken in from it."""

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from app.settings import load_settings
from cluster.cli.tables import for_tables

events_app = typer.Typer(help="Look after the log of events.", no_args_is_help=True)
dead_app = typer.Typer(help="What could not be taken in, with the reason.", no_args_is_help=True)
events_app.add_typer(dead_app, name="dead")

SHOWN = 100


@events_app.command()
def setup() -> None:
    """Make Kafka's topics where there are none. Again changes nothing; without Kafka there is nothing to make."""
    settings = load_settings()
    if settings.kafka_servers is None:
        typer.echo("events go through Redis, which needs no topics; LEARNREC_KAFKA_SERVERS names Kafka's brokers")
        return
    from app.adapters.kafka_topics import ensure_topics

    made = ensure_topics(settings)
    typer.echo(f"made {', '.join(made)}" if made else "the topics are there already")


@events_app.command()
def status() -> None:
    """How much of the log is still to be taken in, and how much was set aside."""
    from app.adapters import logs
    from jobs.ingest_events import JOB

    settings = load_settings()
    with logs.event_log(settings) as log, logs.dead_letters(settings) as dead:
        lags = log.lag(group=JOB)
        num_dead = sum(1 for _ in dead.waiting())
    typer.echo(f"log: {settings.kafka_servers or 'Redis'}")
    for partition, lag in lags.items():
        typer.echo(f"partition {partition}: {lag:,} to be taken in")
    typer.echo(f"set aside: {num_dead:,}" + (" (`learnrec events dead list`)" if num_dead else ""))


@events_app.command()
def replay(
    since: Annotated[
        datetime | None, typer.Option("--from", help="UTC; what arrived from then on. Default: all that there is.")
    ] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="UTC; events before then. Default: all.")] = None,
) -> None:
    """Bring what Parquet, PostgreSQL and Redis lack back from the log; what they have stays as it is."""
    from jobs.replay_events import Spec, run

    spec = Spec(
        since=since.replace(tzinfo=UTC) if since else "beginning", until=until.replace(tzinfo=UTC) if until else "end"
    )
    for name, count in run(spec, load_settings()).metrics.items():
        typer.echo(f"{name.replace('_', ' '):<16} {count:,.0f}")


@dead_app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many; all are counted.")] = SHOWN,
) -> None:
    """Entries that were set aside and not tried again yet: where they lay in the log, why, and what they said."""
    from app.adapters import logs

    with logs.dead_letters(load_settings()) as dead:
        letters = list(dead.waiting())
    if not letters:
        typer.echo("nothing was set aside")
        return
    table = Table("position", "reason", "entry", box=None, pad_edge=False)
    for letter in letters[:limit]:
        table.add_row(letter.position, letter.reason, letter.value.decode(errors="replace"))
    for_tables().print(table)
    for reason, count in Counter(letter.reason for letter in letters).most_common():
        typer.echo(f"{count:,} × {reason}")


@dead_app.command()
def retry() -> None:
    """Put all of them into the log once more, as after an import of the contents that were missing.

    The next `learnrec job run ingest_events` takes them in; what still cannot be is set aside again.
    """
    from app.adapters import logs

    settings = load_settings()
    with logs.event_entries(settings) as log, logs.dead_letters(settings) as dead:
        count = dead.retry(log)
    typer.echo(f"{count:,} entries are in the log again: `learnrec job run ingest_events` takes them in")
