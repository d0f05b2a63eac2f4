"""`learnrec tune`."""

from pathlib import Path
from typing import Annotated

import typer

from app.settings import load_settings


def tune(
    spec: Annotated[Path, typer.Option(help="TOML file: what is tuned, and where its values may lie.")],
    assign: Annotated[list[str] | None, typer.Option("--set", help="key=value or table.key=value; repeat it.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to copy best.toml, report.html and report.json to.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Start anew; earlier trials are not looked at.")] = False,
) -> None:
    """Search hyperparameters with Optuna and ASHA on the cluster; write the best spec and a report.

    Ready specs are jobs/specs/tune-retrieval.toml and tune-ranking.toml. Ctrl-C, or a crash, loses only the trials
    under way: **the same command goes on** with those that have ended, and so does one with more trials
    (`--set num_trials=40`) or more time (`--set time_budget_s=3600`).

    The result is a spec: `learnrec job run train_retrieval --spec best.toml`.
    """
    from jobs import stores
    from jobs.artefacts import SWEEPS
    from jobs.runner import run_and_show
    from jobs.tuning.outcome import BEST_SPEC, PAGE, REPORT

    settings = load_settings()
    result = run_and_show("tune", settings, file=spec, assignments=assign or (), force=force)
    if out is None:
        return
    store = stores.objects(settings)
    out.mkdir(parents=True, exist_ok=True)
    for name in (BEST_SPEC, PAGE, REPORT):
        (out / name).write_bytes(store.read(f"{SWEEPS.folder(result.output)}/{name}"))
    typer.echo(f"copied to {out}")
