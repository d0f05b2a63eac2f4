"""The report of a sweep: one HTML page that needs nothing else, and the same as JSON."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, select_autoescape
from optuna.trial import TrialState, create_trial
from plotly.offline import get_plotlyjs

from jobs.tuning.outcome import Outcome
from jobs.tuning.records import ranked
from jobs.tuning.space import distributions

MIN_FOR_IMPORTANCE = 4
"""Trials with a value; of fewer, nothing can be said."""

COLOURS = ("#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#0891b2", "#be185d", "#4d7c0f")


def report_json(
    outcome: Outcome, *, run: str, inputs: Mapping[str, str], spec_of_job: Mapping[str, Any]
) -> dict[str, Any]:
    """Version 1. Trials best first."""
    return {
        "version": 1,
        "run": run,
        "tunes": outcome.target.job,
        "metric": outcome.target.metric,
        "inputs": dict(inputs),
        "metrics": outcome.metrics(),
        "best": outcome.best.model_dump() if outcome.best else None,
        "default": outcome.default.model_dump() if outcome.default else None,
        "importance": importance(outcome),
        "space": {name: dimension.model_dump(mode="json") for name, dimension in outcome.space.items()},
        "spec": dict(spec_of_job),
        "trials": [{**r.model_dump(), "value": r.value, "best_report": r.best_at} for r in ranked(outcome.records)],
    }


def report_page(outcome: Outcome, told: Mapping[str, Any], *, spec_text: str) -> str:
    """`told` is what `report_json` says."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=select_autoescape())
    figures = [(title, note, _html(figure)) for title, note, figure in _figures(outcome, told["importance"])]
    return environment.get_template("report.html.j2").render(
        told=told, figures=figures, names=list(outcome.space), spec_text=spec_text, plotly=get_plotlyjs()
    )


def importance(outcome: Outcome) -> dict[str, float]:
    """Share of the metric's variance that each hyperparameter explains (fANOVA), greatest first; empty if unknown."""
    study = _study(outcome)
    values = {trial.value for trial in study.trials}
    if len(study.trials) < MIN_FOR_IMPORTANCE or len(values) < 2:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return {name: float(v) for name, v in optuna.importance.get_param_importances(study, evaluator=evaluator).items()}


def _study(outcome: Outcome) -> optuna.Study:
    """The trials as Optuna knows them; one that was stopped early counts with its best until then."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    space = distributions(outcome.space, outcome.target.config)
    for record in sorted(outcome.records, key=lambda r: r.number):
        if record.value is not None:
            study.add_trial(
                create_trial(
                    state=TrialState.COMPLETE, params=dict(record.params), distributions=space, value=record.value
                )
            )
    return study


def _figures(outcome: Outcome, shares: Mapping[str, float]) -> Iterator[tuple[str, str, go.Figure]]:
    metric = outcome.target.metric
    yield "History", "Every trial in order, and the best until then.", _history(outcome)
    yield "Curves", f"{metric} at every report; thin lines were stopped early.", _curves(outcome)
    if shares:
        note = "Share of the metric's variance that each explains, by fANOVA."
        yield "Importance", note, _importance(shares)
    study = _study(outcome)
    if len(study.trials) > 1:
        parallel = optuna.visualization.plot_parallel_coordinate(study, target_name=metric)
        yield "Parallel coordinates", "One line a trial; drag along an axis to choose some.", parallel
        slices = optuna.visualization.plot_slice(study, target_name=metric)
        yield "One by one", "Each hyperparameter against the metric; darker came later.", slices


def _history(outcome: Outcome) -> go.Figure:
    figure = go.Figure()
    told = sorted((r for r in outcome.records if r.value is not None), key=lambda r: r.number)
    for state, symbol, colour in (("finished", "circle", COLOURS[0]), ("stopped", "circle-open", COLOURS[1])):
        of = [r for r in told if r.state == state]
        figure.add_scatter(
            x=[r.number for r in of],
            y=[r.value for r in of],
            mode="markers",
            name=state,
            marker={"symbol": symbol, "size": 9, "color": colour},
            text=["<br>".join(f"{k} {v}" for k, v in r.params.items()) for r in of],
        )
    best, so_far = [], float("-inf")
    for record in told:
        so_far = max(so_far, record.value or so_far)
        best.append(so_far)
    line = {"color": "#64748b", "width": 1.5, "shape": "hv"}
    figure.add_scatter(x=[r.number for r in told], y=best, mode="lines", name="best until then", line=line)
    if outcome.default is not None and outcome.default.value is not None:
        figure.add_hline(outcome.default.value, line_dash="dot", annotation_text="default")
    return figure.update_layout(xaxis_title="trial", yaxis_title=outcome.target.metric)


def _curves(outcome: Outcome) -> go.Figure:
    figure = go.Figure()
    for place, record in enumerate(ranked(outcome.records)):
        if record.curve:
            figure.add_scatter(
                x=list(range(1, len(record.curve) + 1)),
                y=[point[record.metric] for point in record.curve],
                mode="lines+markers",
                name=f"trial {record.number}",
                line={"width": 1 if record.state == "stopped" else 2.5, "color": COLOURS[place % len(COLOURS)]},
                marker={"size": 4},
                opacity=0.6 if record.state == "stopped" else 1.0,
            )
    return figure.update_layout(xaxis_title="report", yaxis_title=outcome.target.metric)


def _importance(shares: Mapping[str, float]) -> go.Figure:
    names = list(shares)[::-1]
    figure = go.Figure(go.Bar(x=[shares[n] for n in names], y=names, orientation="h", marker_color=COLOURS[0]))
    return figure.update_layout(xaxis_title="share", yaxis={"automargin": True})


def _html(figure: go.Figure) -> str:
    margin = {"l": 60, "r": 30, "t": 30, "b": 50}
    figure.update_layout(template="plotly_white", title=None, margin=margin, width=None)  # as wide as the page
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True})
