"""`learnrec job`: run what makes features, models, indexes and releases."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.settings import Settings, load_settings
from jobs.job import JOBS

if TYPE_CHECKING:
    from app.serving.submissions import Submissions

job_app = typer.Typer(help="Run the jobs that make features, models, indexes and releases.", no_args_is_help=True)

MAX_SHOWN = 20


@job_app.command()
def run(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(JOBS)}.")],
    spec: Annotated[Path | None, typer.Option(help="TOML file; what it leaves out keeps its default.")] = None,
    assign: Annotated[list[str] | None, typer.Option("--set", help="key=value or table.key=value; repeat it.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Do it again although the same inputs gave it already.")
    ] = False,
    submit: Annotated[bool, typer.Option("--submit", help="Through Ray's job API, on the cluster's machines.")] = False,
    promote: Annotated[bool, typer.Option("--promote", help="With pipeline: make the new release live.")] = False,
) -> None:
    """Run one job to its end; defaults are in jobs/specs/NAME.toml. The same inputs and spec are not done twice."""
    from jobs.runner import run_and_show
    from jobs.spec import load_spec

    assigned = [*(assign or ()), *(["promote=true"] if promote else ())]
    settings = load_settings()
    if not submit:
        run_and_show(name, settings, file=spec, assignments=assigned, force=force)
        return
    from app.serving.submissions import Submissions
    from jobs.submission import arguments_of

    checked = load_spec(name, spec, assigned).model_copy(update={"force": force})
    submissions = Submissions(settings)
    submission_id = submissions.submit(name, arguments_of(checked), by="learnrec job run")
    typer.echo(f"submitted {submission_id}; Ctrl-C leaves it running")
    _follow(submissions, submission_id)


@job_app.command("list")
def list_() -> None:
    """The jobs there are, and those lately submitted to the cluster."""
    console = Console(soft_wrap=True)
    table = Table("job", "what it does", box=None, pad_edge=False)
    for name in JOBS:
        table.add_row(name, _summary(name))
    console.print(table)
    settings = load_settings()
    if settings.ray_address:
        console.print()
        console.print(_submitted(settings))


@job_app.command()
def logs(
    submission_id: Annotated[str, typer.Argument(help="As `learnrec job list` shows it.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the job ends.")] = False,
) -> None:
    """What a submitted job has written."""
    from app.serving.submissions import Submissions

    submissions = Submissions(load_settings())
    if follow:
        submissions.find(submission_id)
        _follow(submissions, submission_id)
    else:
        typer.echo(submissions.logs(submission_id))


def _follow(submissions: "Submissions", submission_id: str) -> None:
    async def echo() -> None:
        async for lines in submissions.follow(submission_id):
            typer.echo(lines, nl=False)

    asyncio.run(echo())
    ended = submissions.find(submission_id)
    if not ended.succeeded:
        typer.echo(f"job {submission_id} did not succeed: {ended.message}", err=True)
        raise typer.Exit(1)


def _submitted(settings: Settings) -> Table:
    from app.serving.submissions import Submissions

    table = Table("submitted", "status", "started (UTC)", "command", box=None, pad_edge=False)
    for one in Submissions(settings).all()[:MAX_SHOWN]:
        started = f"{one.started_at:%Y-%m-%d %H:%M:%S}" if one.started_at else ""
        table.add_row(one.submission_id, one.status, started, " ".join(one.entrypoint.split()[1:4]))
    return table


def _summary(name: str) -> str:
    """The first line of the module's docstring, without importing it."""
    path = Path(__file__).resolve().parents[2] / f"{JOBS[name].replace('.', '/')}.py"
    return path.read_text(encoding="utf-8").split("\n", 1)[0].strip('" .')
