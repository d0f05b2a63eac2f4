"""One run of one job, from its name to the table that is shown at the end."""

import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from app.settings import Settings
from jobs.job import JobResult, load_job
from jobs.spec import load_spec


def run_job(
    name: str, settings: Settings, *, file: Path | None = None, assignments: Iterable[str] = (), force: bool = False
) -> JobResult:
    """Run the job `name` with its spec. Raises InvalidSpec, NotFound, and whatever the job raises."""
    spec = load_spec(name, file, assignments)
    return load_job(name).run(spec.model_copy(update={"force": True}) if force else spec, settings)


def run_and_show(
    name: str, settings: Settings, *, file: Path | None = None, assignments: Iterable[str] = (), force: bool = False
) -> JobResult:
    """The same, and tell the user what came of it."""
    started = time.monotonic()
    result = run_job(name, settings, file=file, assignments=assignments, force=force)
    show(result, seconds=time.monotonic() - started)
    return result


def show(result: JobResult, *, seconds: float) -> None:
    """A short table of the metrics, and where the run is."""
    console = Console(soft_wrap=True)
    how = "reused, the inputs are the same (--force does it again)" if result.reused else f"made in {seconds:.1f} s"
    console.print(f"[bold]{result.job}[/] → [cyan]{result.output}[/]  {how}", highlight=False)
    if result.metrics:
        table = Table("metric", "value", box=None, pad_edge=False)
        table.columns[1].justify = "right"
        for metric, value in result.metrics.items():
            table.add_row(metric, f"{value:,.4f}" if value != int(value) else f"{int(value):,}")
        console.print(table)
    if result.run_url:
        console.print(f"MLflow run: {result.run_url}", highlight=False)
