"""`learnrec up`, `down`, `status` and `doctor`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.errors import InvalidInput
from app.settings import Settings, load_settings
from cluster.cli.progress import StackProgress
from cluster.stack.var import Var

if TYPE_CHECKING:
    from cluster.stack.doctor import Finding


def up(
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Deploy the recommendation service on Ray as well.")
    ] = True,
) -> None:
    """Start the stack: PostgreSQL, Redis, Milvus Lite, MLflow, Ray, and the service on it.

    Only what does not run yet is started. What stands in a `LEARNREC_…` variable, such as
    `LEARNREC_POSTGRES_URL`, is used and never started. If anything fails, or you press Ctrl-C, whatever
    this call started is stopped again. Data is kept in `LEARNREC_VAR_DIR` (default: `./var`).
    """
    from cluster.stack.up import up as bring_up

    console = Console()
    with StackProgress(console) as progress:
        settings = bring_up(serve=serve, tell=progress.tell)
    console.print(_addresses(settings, served=serve), soft_wrap=True)
    console.print("Ask it: learnrec recommend USER · look after it: learnrec status · stop it: learnrec down")


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove all data of the stack as well.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before removing data.")] = False,
) -> None:
    """Stop everything of the stack, strays of a crash included. Data stays, unless `--wipe`."""
    from cluster.stack.down import down as take_down

    console = Console()
    var = Var(load_settings(embedded=False).var_dir.resolve())
    if wipe and not yes:
        typer.confirm(f"Remove all data in {var.root}: events, models, releases, keys?", abort=True)
    with StackProgress(console) as progress:
        rest = take_down(var, wipe=wipe, tell=progress.tell)
    if not progress.told:
        console.print(f"Nothing of {var.root} was running.")
    if wipe:
        kept = f"; not ours, and kept: {', '.join(rest)}" if rest else ""
        console.print(f"Its data is removed{kept}.")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Ask every part of the stack how it is. Exit code 1 if one is down."""
    from cluster.stack.status import Health
    from cluster.stack.status import status as ask

    parts = ask()
    if as_json:
        typer.echo(json.dumps([asdict(part) for part in parts], indent=2))
    else:
        console = Console()
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("Part", "State", "Ping", "Address"):
            table.add_column(heading, no_wrap=heading != "Address", overflow="fold")
        for part in parts:
            colour = "green" if part.health is Health.UP else "yellow" if part.fine else "red"
            state = f"[{colour}]{part.health}[/]" + (" (external)" if part.external else "")
            ping = f"{part.ping_ms:.0f} ms" if part.ping_ms is not None else ""
            table.add_row(part.title, state, ping, part.address or "")
        console.print(table)
        for advice in dict.fromkeys(part.advice for part in parts if part.advice):
            titles = ", ".join(part.title for part in parts if part.advice == advice)
            console.print(f"→ {titles}: {advice}", soft_wrap=True, highlight=False)
    raise typer.Exit(0 if all(part.fine for part in parts) else 1)


def doctor(
    production: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="ENV_FILE",
            help="Check these environment files instead, before they are deployed: KEY=VALUE, or a name alone for "
            "what a secret will hold. Of several files the last one counts.",
        ),
    ] = None,
    ask: Annotated[bool, typer.Option("--ask", help="With --production: ask every address, too.")] = False,
) -> None:
    """Check the machine and the stack, or what a production is told. Exit code 1 if something must be done."""
    if production:
        from cluster.preflight.examine import examine as examine_files

        findings = examine_files(production, ask=ask)
    elif ask:
        raise InvalidInput("--ask goes with --production: `learnrec doctor` by itself asks the stack anyway")
    else:
        from cluster.stack.doctor import examine

        findings = examine()
    raise typer.Exit(_told(findings))


def _told(findings: "list[Finding]") -> int:
    """Print them; returns the exit code."""
    console = Console()
    signs = {"fine": "[green]✓[/]", "note": "[yellow]![/]", "wrong": "[red]✗[/]"}
    for finding in findings:
        line = f"{signs[finding.verdict]} {finding.subject:<17}{escape(finding.found)}"
        console.print(line, soft_wrap=True, highlight=False)
        if finding.advice:
            console.print(f"  [bold]→ {escape(finding.advice)}[/]", soft_wrap=True, highlight=False)
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    console.print(f"[red]{wrong} to mend.[/]" if wrong else "[green]Nothing to mend.[/]")
    return 1 if wrong else 0


def _addresses(settings: Settings, *, served: bool) -> Table:
    from app.errors import without_secrets
    from cluster.stack.engines.ray import RayEngine
    from cluster.stack.kinds import KINDS
    from cluster.stack.serving import serving_url

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    for kind in KINDS:
        table.add_row(kind.title, without_secrets(getattr(settings, kind.address_field)))
    record = Var(settings.var_dir).record(RayEngine)
    if record is not None and record.dashboard_port is not None:
        token = settings.var_dir / "keys" / "ray_token"
        table.add_row("Ray dashboard", f"http://127.0.0.1:{record.dashboard_port}  (its token: {token})")
    if served:
        table.add_row("Recommendations", f"{serving_url(settings)}/recommend/USER")
    table.add_row("Data", str(settings.var_dir))
    return table
