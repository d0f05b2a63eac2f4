"""The root of the command line: which commands there are, and what an error looks like."""

from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app.errors import InvalidInput, LearnrecError

COMMANDS = {
    "up": ("cluster.cli.stack:up", "Start the stack: what already runs stays as it is."),
    "down": ("cluster.cli.stack:down", "Stop the stack; its data stays."),
    "status": ("cluster.cli.stack:status", "Ask every part of the stack how it is."),
    "doctor": ("cluster.cli.stack:doctor", "Check the machine and the stack, and say what to do."),
    "demo": ("cluster.cli.demo:demo", "From nothing to personal recommendations over HTTP, step by step."),
    "data": ("cluster.cli.data:data_app", "Import a data set, or generate one."),
    "events": ("cluster.cli.events:events_app", "Look after the log of events."),
    "privacy": ("cluster.cli.privacy:privacy_app", "Pseudonyms, receipts of erasures, the audit log."),
    "job": ("cluster.cli.jobs:job_app", "Run the jobs that make features, models, indexes and releases."),
    "schedule": ("cluster.cli.schedule:schedule_app", "Run the jobs at their times; what was run, and how it ended."),
    "release": ("cluster.cli.releases:release_app", "List, promote and roll back releases."),
    "evaluate": ("cluster.cli.evaluate:evaluate_app", "Measure recommenders on a temporal hold-out."),
    "backup": ("cluster.cli.backup:backup", "Copy everything that cannot be made again into one folder."),
    "restore": ("cluster.cli.backup:restore", "Bring back what a backup has, after it was verified."),
    "manifests": ("cluster.cli.manifests:manifests", "Write the schedule's jobs as manifests for Kubernetes."),
    "tune": ("cluster.cli.tune:tune", "Search hyperparameters on the cluster; write the best spec and a report."),
    "capacity": ("cluster.cli.capacity:capacity", "Replicas, machines, shards and money for a load."),
    "bench": ("cluster.cli.bench:bench_app", "Time our ways against named rivals, on this machine."),
    "token": ("cluster.cli.client:token", "Sign a development token for the HTTP interface."),
    "recommend": ("cluster.cli.client:recommend", "Ask the running stack for one learner's recommendations."),
}
"""Name, where the function or the group of commands is, what it does."""

EXIT_FAILED, EXIT_INVALID, EXIT_INTERRUPTED = 1, 2, 130


class LazyGroup(TyperGroup):
    """Loads a command when it is called, and turns errors into one line and an exit code."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, _load(str(name)), rest

    def invoke(self, ctx: Any) -> Any:
        """Exit code 2 for what the caller can correct, 1 for any other failure, 130 for Ctrl-C."""
        try:
            from app.settings import load_settings, prepare_process  # not for `--help`, which shall be quick

            prepare_process(settings=load_settings())
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, typer.TyperException):
            raise
        except (Exception, KeyboardInterrupt) as exc:  # the boundary: errors become a line and a code
            if ctx.params.get("debug"):
                raise
            raise typer.Exit(complain(exc)) from exc


app = typer.Typer(
    cls=LazyGroup,
    name="learnrec",
    help="A recommender of learning content that runs as one Ray application.",
    epilog="First steps: `learnrec demo`, or `learnrec up` and `learnrec doctor`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they hold passwords
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"learnrec {version('learnrec')}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """A recommender of learning content that runs as one Ray application."""


def _placeholder() -> None:
    """Stands for a command in the root's help."""


for _name, (_target, _help) in COMMANDS.items():
    app.command(_name, help=_help)(_placeholder)


def _load(name: str) -> Any:
    """The real command. Raises LearnrecError: its module is not in this installation."""
    target, summary = COMMANDS[name]
    module_name, _, attribute = target.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except ModuleNotFoundError as exc:
        if exc.name != module_name:
            raise
        raise LearnrecError(f"`learnrec {name}` is not part of this installation ({module_name} is missing)") from exc
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.help = group.help or summary
        return group
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_show_locals=False)
    single.command(name)(found)
    command = typer.main.get_command(single)
    command.name = name
    return command


def complain(error: BaseException) -> int:
    """Say on stderr, in red, what went wrong; returns the exit code."""
    from rich.console import Console
    from rich.text import Text

    message = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    if not isinstance(error, LearnrecError | KeyboardInterrupt):
        message = f"{type(error).__name__}: {message}. This should not happen: `learnrec --debug …` shows where it did"
    Console(stderr=True, soft_wrap=True).print(Text(f"Error: {message}", style="bold red"))
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return EXIT_INVALID if isinstance(error, InvalidInput) else EXIT_FAILED


def main() -> None:
    """The entry point of `learnrec`."""
    app(prog_name="learnrec")
