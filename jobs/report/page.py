"""The report as one page that needs nothing else: no network, no server, no file beside it."""

from pathlib import Path

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from app.models.resampling import Estimate
from jobs.report.figures import figures
from jobs.report.measure import METRICS
from jobs.report.report import Difference, Model, Report
from jobs.report.stage_figures import stage_figures

TEMPLATE = "page.html.jinja"
COLUMNS = ("ndcg@10", "recall@10", "hit@10", "mrr@10", "ndcg@20", "recall@20", "ndcg@100", "recall@100")
STAGE_COLUMNS = ("ndcg@10", "recall@10", "mrr@10", "ndcg@100", "recall@100")
NAMES = {"ndcg": "NDCG", "recall": "Recall", "hit": "Hit", "mrr": "MRR"}


def page(report: Report) -> str:
    """HTML, about 5 MB, most of it plotly.js."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "title": metric_title,
        "interval": interval,
        "signed": signed,
        "places": decimals,
        "percent": percent,
        "setting": setting,
    }
    return environment.get_template(TEMPLATE).render(
        report=report,
        lists=report.models[0],
        models=sorted(report.models, key=lambda m: -m.metrics["ndcg@10"].mean),
        differences={d.name: d for d in report.differences},
        strongest=strongest(report),
        shuffled=shuffled(report),
        columns=COLUMNS,
        stage_columns=STAGE_COLUMNS,
        metrics=METRICS,
        plots={name: script_json(fig) for name, fig in (figures(report) | stage_figures(report)).items()},
        plotlyjs=get_plotlyjs(),
    )


def strongest(report: Report) -> tuple[Model, Difference] | None:
    """The baseline with the highest NDCG@10, and how the lists differ from it."""
    baselines = report.models[1:]
    if not baselines:
        return None
    best = max(baselines, key=lambda m: m.metrics["ndcg@10"].mean)
    return best, next(d for d in report.differences if d.name == best.name)


def shuffled(report: Report) -> dict[str, float]:
    """What a ranker that was trained on shuffled labels reached: more than chance is a leak."""
    found = report.training.metrics if report.training else {}
    return {name: value for name, value in found.items() if "shuffled" in name}


def script_json(fig: go.Figure) -> str:
    """A figure as JSON that may stand inside a script: no text in it can end the script."""
    return str(fig.to_json()).replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def metric_title(name: str) -> str:
    base, _, depth = name.partition("@")
    return f"{NAMES.get(base, base)}@{depth}"


def decimals(value: float, places: int = 4) -> str:
    return f"{value:.{places}f}" if value == value else "-"


def percent(value: float, places: int = 0) -> str:
    return f"{100 * value:.{places}f}%"


def interval(found: Estimate, places: int = 4) -> str:
    if found.mean != found.mean:  # nothing was there to count
        return "-"
    return f"{found.mean:.{places}f} [{found.low:.{places}f}, {found.high:.{places}f}]"


def signed(found: Estimate, places: int = 4) -> str:
    text = f"{found.mean:+.{places}f} [{found.low:+.{places}f}, {found.high:+.{places}f}]"
    return text.replace("-", "\u2212")


def setting(model: Model) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in model.setting.items())
