"""`learnrec evaluate report`: ranked lists beside baselines, as a table, a page, JSON and a run in MLflow."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.cli.tables import for_tables

if TYPE_CHECKING:
    from jobs.report.report import Report

WIDE = 124
"""Characters that the whole table needs."""

STYLES = {"better": "green", "worse": "red"}


def report(
    split: Annotated[Path, typer.Argument(help="Folder with train.csv, test.csv and users.csv.")],
    ranked: Annotated[Path, typer.Argument(help="Parquet file of lists: user_id, item_id, rank; score, source, …")],
    items: Annotated[Path | None, typer.Option(help="CSV or Parquet of the items, for the diversity of tags.")] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="A baseline to run; may be repeated. popular, recent-popular, item-knn, markov, ease, ease-markov, "
            "ials, bpr; all without it."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for report.html and report.json; RANKED-report without it.")
    ] = None,
    mlflow: Annotated[
        bool | None, typer.Option("--mlflow/--no-mlflow", help="Log a run; without it, where MLflow answers.")
    ] = None,
) -> None:
    """Judge ranked lists on a split's test part, beside baselines, with intervals."""
    from jobs.progress import steps
    from jobs.report.make import Asked, make_report, total_steps
    from jobs.report.record import write

    started = time.monotonic()
    asked = Asked(split, ranked, items, tuple(baseline or ()))
    with steps("report", total_steps(asked)) as advance:
        told = iter(range(total_steps(asked)))
        made = make_report(asked, lambda what: advance(next(told, 0), what))
        advance(total_steps(asked), "writing the page")
        files = write(made, out or ranked.with_name(f"{ranked.stem}-report"))
    wide = for_tables()
    wide.print(table(made, width=wide.width))
    tell(made)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    _track(made, files, mlflow, console)
    console.print(f"wrote {files[0]} and {files[1]} in {time.monotonic() - started:.0f} s; open the page in a browser")


def table(report: "Report", *, width: int) -> Table:
    """A row a model, the best NDCG@10 first; fewer columns where `width` is less than WIDE."""
    from jobs.report.page import interval, metric_title, signed
    from jobs.report.report import LISTS

    further = ("recall@10", "hit@10", "mrr@10", "recall@100") if width >= WIDE else ()
    gaps = {d.name: d for d in report.differences}
    shown = Table(title=f"{report.file} on {report.split.name}", box=None, title_style="bold")
    shown.add_column("model", no_wrap=True)
    for name in ("NDCG@10 \\[95%]", *(metric_title(n).replace("@", "\n@") for n in further), "the lists' gain \\[95%]"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("the lists are", no_wrap=True)
    for model in sorted(report.models, key=lambda m: -m.metrics["ndcg@10"].mean):
        gap, metrics = gaps.get(model.name), model.metrics
        shown.add_row(
            model.label,
            interval(metrics["ndcg@10"], 3),
            *(f"{metrics[name].mean:.3f}" for name in further),
            signed(gap.metrics["ndcg@10"], 3) if gap else "",
            f"[{STYLES.get(gap.verdict, 'yellow')}]{gap.verdict}[/]" if gap else "",
            style="bold" if model.name == LISTS else None,
        )
    return shown


def tell(report: "Report") -> None:
    """What the table cannot show: the ranker's part, and what was left out."""
    from jobs.report.page import interval, signed

    console = Console(soft_wrap=True, highlight=False)
    if report.stage:
        stage = report.stage
        console.print(
            f"candidates alone: NDCG@10 {interval(stage.candidates['ndcg@10'])}, "
            f"Recall@100 {interval(stage.candidates['recall@100'])}; "
            f"the ranker adds {signed(stage.gain['ndcg@10'])} NDCG@10",
            markup=False,
        )
    for note in report.notes:
        console.print(f"note: {note}", style="dim", markup=False)
    for name, reason in report.skipped.items():
        console.print(f"left out: {name}: {reason}", style="dim", markup=False)


def _track(report: "Report", files: tuple[Path, ...], wanted: bool | None, console: Console) -> None:
    """Raises Unavailable and InvalidInput only where a run was asked for."""
    from app.errors import LearnrecError
    from app.settings import load_settings
    from jobs.report.record import track

    settings = load_settings()
    if wanted is False or (wanted is None and settings.mlflow_uri is None):
        return
    try:
        console.print(f"logged as {track(report, files, settings)}")
    except LearnrecError as exc:
        if wanted:
            raise
        console.print(f"not logged: {exc}", style="yellow", markup=False)
