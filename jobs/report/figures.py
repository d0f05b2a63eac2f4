"""The plots of a report, as Plotly figures without colours of text and grid: the page sets these, light or dark."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.models.resampling import Estimate
from jobs.report.report import LISTS, Model, Report, Slice

ACCENT = "#3b76e1"
OTHERS = ("#e08a1e", "#2a9d6f", "#b05cc6", "#d1495b", "#8c7355", "#4aa3b8", "#9aa021", "#8a8f98", "#6b6bd6")
GOOD, BAD, NEUTRAL = "#2a9d6f", "#d1495b", "#8b95a5"
BAR_HEIGHT, MIN_HEIGHT = 34, 260
TOP_FEATURES = 25


def figures(report: Report) -> dict[str, go.Figure]:
    """By the id of its place in the page; only what there is something to show for."""
    ordered = sorted(report.models, key=lambda m: -m.metrics["ndcg@10"].mean)
    shown = {LISTS, *(m.name for m in ordered[:3]), "popular"}
    colours = colours_of(report.models)
    made = {
        "headline": headline(ordered, colours),
        "curves": recall_curves(ordered, colours, shown),
        "history": sliced(report.by_history, ordered, colours, shown, metric="ndcg@10"),
        "popularity": sliced(report.by_popularity, ordered, colours, shown, metric="recall@10"),
        "places": places(ordered, report.by_popularity),
        "beyond": beyond(ordered, colours),
    }
    if report.differences:
        made["differences"] = differences(report)
    return made


def colours_of(models: Sequence[Model]) -> dict[str, str]:
    """One colour a model, the same in every plot."""
    others = [m.name for m in models if m.name != LISTS]
    return {LISTS: ACCENT} | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(others)}


def bars(value: Mapping[str, Estimate], colours: Sequence[str], *, axis: str) -> go.Figure:
    """Horizontal bars with intervals, the first on top."""
    names, found = list(value), list(value.values())
    bar = go.Bar(
        y=names,
        x=[e.mean for e in found],
        orientation="h",
        marker_color=list(colours),
        error_x=whiskers(found),
        customdata=[[e.low, e.high] for e in found],
        hovertemplate="%{y}: %{x:.4f} [%{customdata[0]:.4f}, %{customdata[1]:.4f}]<extra></extra>",
    )
    fig = framed(go.Figure(bar), height=row_height(len(names)))
    fig.update_xaxes(title=axis, rangemode="tozero")
    return fig.update_yaxes(autorange="reversed", automargin=True, ticksuffix=" ")


def whiskers(found: Sequence[Estimate]) -> dict[str, object]:
    """Error bars of estimates, in Plotly's words."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [e.high - e.mean for e in found],
        "arrayminus": [e.mean - e.low for e in found],
        "thickness": 1.4,
        "width": 4,
    }


def framed(fig: go.Figure, *, height: int) -> go.Figure:
    """Size, margins and legend that all plots share."""
    return fig.update_layout(
        template="none",
        height=height,
        margin={"l": 12, "r": 28, "t": 28, "b": 24},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
        bargap=0.3,
        hoverlabel={"namelength": -1},
        xaxis={"automargin": True, "title": {"standoff": 14}},
    )


def row_height(rows: int) -> int:
    return max(MIN_HEIGHT, 96 + BAR_HEIGHT * rows)


def headline(ordered: Sequence[Model], colours: Mapping[str, str]) -> go.Figure:
    found = {m.label: m.metrics["ndcg@10"] for m in ordered}
    paint = [colours[m.name] if m.name == LISTS else NEUTRAL for m in ordered]
    return bars(found, paint, axis="NDCG@10, mean over learners (lines: 95% interval)")


def differences(report: Report) -> go.Figure:
    """One point a baseline; right of zero the lists are better."""
    ordered = sorted(report.differences, key=lambda d: d.metrics["ndcg@10"].mean)
    found = [d.metrics["ndcg@10"] for d in ordered]
    paint = [{"better": GOOD, "worse": BAD}.get(d.verdict, NEUTRAL) for d in ordered]
    points = go.Scatter(
        y=[d.label for d in ordered],
        x=[e.mean for e in found],
        mode="markers",
        marker={"size": 10, "color": paint},
        error_x=whiskers(found),
        customdata=[[e.low, e.high, d.verdict] for e, d in zip(found, ordered, strict=True)],
        hovertemplate="%{y}: %{x:+.4f} [%{customdata[0]:+.4f}, %{customdata[1]:+.4f}], %{customdata[2]}<extra></extra>",
    )
    fig = framed(go.Figure(points), height=row_height(len(ordered)))
    fig.add_vline(x=0, line_width=1.5, line_color=NEUTRAL)
    fig.update_xaxes(title="NDCG@10 of the lists less the baseline's (lines: 95% interval, paired by learner)")
    return fig.update_yaxes(autorange="reversed", automargin=True, ticksuffix=" ")


def recall_curves(ordered: Sequence[Model], colours: Mapping[str, str], shown: set[str]) -> go.Figure:
    fig = go.Figure()
    for model in ordered:
        fig.add_scatter(
            x=list(range(1, len(model.recall_curve) + 1)),
            y=list(model.recall_curve),
            name=model.label,
            mode="lines",
            line={"color": colours[model.name], "width": 3 if model.name == LISTS else 1.6},
            visible=True if model.name in shown else "legendonly",
            hovertemplate="%{x} deep: %{y:.4f}",
        )
    framed(fig, height=400).update_layout(hovermode="x unified")
    fig.update_xaxes(title="length of the list, k")
    return fig.update_yaxes(title="Recall@k, mean over learners", rangemode="tozero", automargin=True)


def sliced(
    slices: Sequence[Slice], models: Sequence[Model], colours: Mapping[str, str], shown: set[str], *, metric: str
) -> go.Figure:
    """Grouped bars: a group a slice, a bar a model."""
    fig = go.Figure()
    kind = "learners" if metric == "ndcg@10" else "test pairs"
    ticks = [f"{s.label}<br>{s.count:,} {kind}" for s in slices]
    for model in models:
        found = [s.models[model.name][metric] for s in slices]
        fig.add_bar(
            x=ticks,
            y=[e.mean for e in found],
            error_y=whiskers(found),
            name=model.label,
            marker_color=colours[model.name],
            visible=True if model.name in shown else "legendonly",
            hovertemplate="%{y:.4f}",
        )
    framed(fig, height=420).update_layout(hovermode="x unified", barmode="group")
    by_learner = metric == "ndcg@10"
    fig.update_xaxes(title="contents in the learner's history" if by_learner else "contents by popularity in training")
    title = "NDCG@10, mean over learners" if by_learner else "share of test pairs in the first ten"
    return fig.update_yaxes(title=title, rangemode="tozero", automargin=True)


def places(ordered: Sequence[Model], slices: Sequence[Slice]) -> go.Figure:
    """How the first ten places are shared out, beside what learners really met."""
    paint = {"head": "#3b76e1", "middle": "#7fb2f0", "tail": "#e0b04a", "unseen": "#c8553d"}
    total = sum(s.count for s in slices) or 1
    truth = {s.label.partition(" ")[0]: s.count / total for s in slices}
    rows = {"What learners met": truth} | {m.label: m.places for m in ordered}
    fig = go.Figure()
    for name, colour in paint.items():
        share = [row.get(name, 0.0) for row in rows.values()]
        hover = "%{y}: %{x:.1%} " + name + "<extra></extra>"
        fig.add_bar(y=list(rows), x=share, orientation="h", name=name, marker_color=colour, hovertemplate=hover)
    framed(fig, height=row_height(len(rows)) + 24).update_layout(barmode="stack")
    fig.update_layout(legend_traceorder="normal")
    fig.update_xaxes(title="share of the first ten places (top bar: of the test pairs)", tickformat=".0%", range=[0, 1])
    return fig.update_yaxes(autorange="reversed", automargin=True, ticksuffix=" ")


def beyond(ordered: Sequence[Model], colours: Mapping[str, str]) -> go.Figure:
    """Coverage, Gini, novelty and, where there are tags, diversity: a panel each."""
    panels = {
        "Coverage@10": [m.coverage["10"] for m in ordered],
        "Gini@10": [m.gini for m in ordered],
        "Novelty@10, bits": [m.novelty.mean for m in ordered],
    }
    if ordered and ordered[0].diversity is not None:
        panels["Diversity@10"] = [m.diversity.mean if m.diversity else float("nan") for m in ordered]
    fig = make_subplots(1, len(panels), shared_yaxes=True, subplot_titles=list(panels), horizontal_spacing=0.03)
    paint = [colours[m.name] if m.name == LISTS else NEUTRAL for m in ordered]
    for column, (title, values) in enumerate(panels.items(), 1):
        hover = "%{y}: %{x:.3f}<extra>" + title + "</extra>"
        names = [m.label for m in ordered]
        bar = go.Bar(y=names, x=values, orientation="h", marker_color=paint, showlegend=False, hovertemplate=hover)
        fig.add_trace(bar, row=1, col=column)
    framed(fig, height=row_height(len(ordered)))
    fig.update_layout(margin={"t": 44})
    fig.update_xaxes(nticks=5, rangemode="tozero")
    fig.update_yaxes(autorange="reversed")
    return fig.update_yaxes(automargin=True, ticksuffix=" ", col=1)
