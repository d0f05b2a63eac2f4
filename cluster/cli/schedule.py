"""`learnrec schedule`: the jobs at their times, on a machine of their own accord."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.errors import InvalidInput
from app.settings import load_settings
from cluster.cli.tables import for_tables
from jobs.schedule import SCHEDULE, Entry

schedule_app = typer.Typer(help="Run the jobs at their times, until Ctrl-C.", invoke_without_command=True)

MOMENT = "%Y-%m-%d %H:%M:%S"


@schedule_app.callback()
def schedule(
    context: typer.Context,
    only: Annotated[
        list[str] | None, typer.Option(help="An entry by its name; may be repeated. All without it.")
    ] = None,
) -> None:
    """Run the jobs at their times, until Ctrl-C; alone, or with a command below to look at them.

    They run on the cluster, each alone of its kind. What was due while nothing ran is caught up, once. Ctrl-C stops
    what is under way; it is done first next time.
    """
    if context.invoked_subcommand is not None:
        return
    from threading import Event

    from cluster.stack.signals import terminable
    from jobs.scheduler import Scheduler

    scheduler = Scheduler(load_settings(), _tell, entries=(entries := _named(only)))
    Console(stderr=True).print(_times(entries))
    with terminable():
        scheduler.run(Event())


@schedule_app.command("list")
def list_() -> None:
    """What runs when, all times in UTC."""
    for_tables().print(_times(SCHEDULE))


@schedule_app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, help="So many, the newest first.")] = 20,
    failed: Annotated[bool, typer.Option("--failed", help="Of these, only those that did not succeed.")] = False,
) -> None:
    """What was run, and how it ended."""
    from app.adapters.postgres.schedule_runs import PostgresScheduleRuns

    runs = PostgresScheduleRuns(load_settings().need("postgres_url")).latest(limit)
    table = Table("entry", "started (UTC)", "took", "outcome", "", box=None, pad_edge=False)
    for run in runs:
        if failed and run.outcome == "succeeded":
            continue
        took = f"{(run.ended_at - run.started_at).total_seconds():,.0f} s" if run.ended_at else ""
        table.add_row(run.entry, f"{run.started_at:{MOMENT}}", took, run.outcome or "under way", run.message)
    if table.row_count:
        for_tables().print(table)
    else:
        typer.echo("nothing to show: `learnrec schedule` runs the jobs at their times")


def _named(names: list[str] | None) -> list[Entry]:
    """Raises InvalidInput."""
    known = {entry.name: entry for entry in SCHEDULE}
    if unknown := [name for name in names or () if name not in known]:
        raise InvalidInput(f"no entry {', '.join(unknown)} in the schedule: choose of {', '.join(known)}")
    return [known[name] for name in names] if names else list(SCHEDULE)


def _times(entries: "list[Entry] | tuple[Entry, ...]") -> Table:
    from jobs.scheduler import next_time

    now = datetime.now(UTC)
    table = Table("entry", "minute hour day month weekday", "next (UTC)", "jobs", box=None, pad_edge=False)
    for entry in entries:
        jobs = " → ".join(" ".join([step.job, *step.assignments]) for step in entry.steps)
        table.add_row(entry.name, entry.cron, f"{next_time(entry, now):{MOMENT}}", jobs)
    return table


def _tell(entry: str, what: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"{datetime.now(UTC):{MOMENT}} {entry}: {what}")
