"""Where a report goes: JSON and a page in a folder, and a run in MLflow."""

from pathlib import Path

import orjson

from app.settings import Settings
from jobs.report.page import page
from jobs.report.report import Report
from jobs.tracking import tracked

JSON, PAGE = "report.json", "report.html"


def write(report: Report, folder: Path) -> tuple[Path, Path]:
    """`report.json` and `report.html` in `folder`; NaN becomes null."""
    folder.mkdir(parents=True, exist_ok=True)
    values, shown = folder / JSON, folder / PAGE
    values.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    shown.write_text(page(report), encoding="utf-8")
    return values, shown


def track(report: Report, files: tuple[Path, ...], settings: Settings) -> str:
    """A run with the figures of all models, and the files; its address. Raises Unavailable: MLflow does not answer."""
    facts = report.split
    params = {
        "split": facts.name,
        "lists": report.file,
        "learners": facts.num_judged,
        "test_pairs": facts.num_test_pairs,
        "contents": facts.num_contents,
        "seed": report.seed,
        "baseline": {m.name: m.setting for m in report.models[1:]},
    }
    with tracked(settings, "evaluate_report", params=params) as run:
        run.metrics(flat_metrics(report))
        for file in files:
            run.file(file)
    return run.url


def flat_metrics(report: Report) -> dict[str, float]:
    """The lists' metrics by their names, a baseline's after its own, differences after `above`."""
    lists = report.models[0]
    values = {name: found.mean for name, found in lists.metrics.items()}
    values |= {"ndcg@10.low": lists.metrics["ndcg@10"].low, "ndcg@10.high": lists.metrics["ndcg@10"].high}
    values |= {"coverage@10": lists.coverage["10"], "gini@10": lists.gini, "novelty@10": lists.novelty.mean}
    if lists.diversity:
        values["diversity@10"] = lists.diversity.mean
    for model in report.models[1:]:
        values |= {f"{model.name}/{name}": found.mean for name, found in model.metrics.items()}
    for gap in report.differences:
        found = gap.metrics["ndcg@10"]
        values |= {f"above/{gap.name}/ndcg@10": found.mean, f"above/{gap.name}/ndcg@10.low": found.low}
    if report.stage:
        values |= {f"candidates/{name}": found.mean for name, found in report.stage.candidates.items()}
    return {name: value for name, value in values.items() if value == value}
