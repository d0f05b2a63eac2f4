"""The plots of where lists come from: the ranker, the sources, the scores, the training."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from jobs.report.figures import ACCENT, NEUTRAL, TOP_FEATURES, bars, framed, row_height, whiskers
from jobs.report.report import Model, Reliability, Report, SourceShare, Stage, Training

CANDIDATES = "#e08a1e"


def stage_figures(report: Report) -> dict[str, go.Figure]:
    """By the id of its place in the page; only what there is something to show for."""
    made: dict[str, go.Figure] = {}
    if report.stage:
        made["ranker"] = ranker(report.stage, report.models[0])
        made["ranker-curve"] = ranker_curve(report.stage, report.models[0])
    if report.sources:
        made["sources"] = sources(report.sources)
    if report.reliability:
        made["reliability"] = reliability(report.reliability)
    if report.training and report.training.importance:
        made["importance"] = importance(report.training)
    return made


def ranker(stage: Stage, lists: Model) -> go.Figure:
    found = {
        "Candidates, in their own order": stage.candidates["ndcg@10"],
        "After the ranker": lists.metrics["ndcg@10"],
        "Same candidates, perfect order": stage.ceiling,
    }
    return bars(found, [CANDIDATES, ACCENT, NEUTRAL], axis="NDCG@10, mean over learners (lines: 95% interval)")


def ranker_curve(stage: Stage, lists: Model) -> go.Figure:
    fig = go.Figure()
    lines = (
        ("After the ranker", lists.recall_curve, ACCENT, 3),
        ("Candidates, in their own order", stage.recall_curve, CANDIDATES, 2),
    )
    for name, curve, colour, width in lines:
        fig.add_scatter(
            x=list(range(1, len(curve) + 1)),
            y=list(curve),
            name=name,
            mode="lines",
            line={"color": colour, "width": width},
            hovertemplate="%{y:.4f}",
        )
    framed(fig, height=360).update_layout(hovermode="x unified")
    fig.update_xaxes(title="length of the list, k")
    return fig.update_yaxes(title="Recall@k, mean over learners", rangemode="tozero", automargin=True)


def sources(shares: tuple[SourceShare, ...]) -> go.Figure:
    """Left: what a source fills and what it finds; right: how often a place of it is right."""
    titles = ("Places and hits", "Hits per 100 places in the first ten")
    fig = make_subplots(1, 2, shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.06)
    names = [s.source for s in shares]
    parts = (
        ("share of the first ten places", [s.share_10 for s in shares], ACCENT),
        ("share of the first 100 places", [s.share_100 for s in shares], "#9dbcf0"),
        ("share of all hits in the lists", [s.share_of_hits for s in shares], CANDIDATES),
    )
    for name, values, colour in parts:
        bar = go.Bar(y=names, x=values, orientation="h", name=name, marker_color=colour, hovertemplate="%{x:.1%}")
        fig.add_trace(bar, row=1, col=1)
    rates = [s.hit_rate_10 for s in shares]
    points = go.Scatter(
        y=names,
        x=[100 * e.mean for e in rates],
        mode="markers",
        marker={"size": 10, "color": ACCENT},
        error_x={**whiskers(rates), "array": [100 * (e.high - e.mean) for e in rates]}
        | {"arrayminus": [100 * (e.mean - e.low) for e in rates]},
        showlegend=False,
        hovertemplate="%{y}: %{x:.2f} of 100<extra></extra>",
    )
    fig.add_trace(points, row=1, col=2)
    framed(fig, height=row_height(2 * len(shares)) + 40)
    fig.update_layout(margin={"t": 70}, legend={"y": 1.12}, legend_traceorder="normal")
    fig.update_xaxes(title="share", tickformat=".0%", rangemode="tozero", col=1)
    fig.update_xaxes(title="hits per 100 places (lines: 95% interval)", rangemode="tozero", col=2)
    fig.update_yaxes(autorange="reversed")
    return fig.update_yaxes(automargin=True, ticksuffix=" ", col=1)


def reliability(found: Reliability) -> go.Figure:
    """Hit rate over score; of probabilities on logarithmic axes, as hits are rare, with the diagonal."""
    bins = [b for b in found.bins if b.hit_rate.mean > 0 and b.score > 0] if found.probability else list(found.bins)
    rates = [b.hit_rate for b in bins]
    points = go.Scatter(
        x=[b.score for b in bins],
        y=[e.mean for e in rates],
        mode="lines+markers",
        name="the lists",
        marker={"size": 9, "color": ACCENT},
        line={"color": ACCENT, "width": 1.5},
        error_y=whiskers(rates),
        customdata=[b.count for b in bins],
        hovertemplate="score %{x:.4f}: %{y:.4f} hits a place, of %{customdata:,} places<extra></extra>",
    )
    fig = framed(go.Figure(points), height=420)
    if found.probability and bins:
        values = [v for b in bins for v in (b.score, b.hit_rate.mean)]
        ends = [min(values) / 1.5, min(1.0, max(values) * 1.5)]
        fig.add_scatter(x=ends, y=ends, mode="lines", name="score = hit rate", line={"dash": "dot", "color": NEUTRAL})
        fig.update_xaxes(type="log", dtick=1)
        fig.update_yaxes(type="log", dtick=1)
    fig.update_xaxes(title="mean score of the places" + (" (logarithmic)" if found.probability else ""))
    return fig.update_yaxes(
        title="share of places that were hits" + (" (logarithmic)" if found.probability else ""), automargin=True
    )


def importance(training: Training) -> go.Figure:
    ordered = sorted(training.importance.items(), key=lambda pair: -pair[1])[:TOP_FEATURES]
    bar = go.Bar(
        y=[name for name, _ in ordered],
        x=[value for _, value in ordered],
        orientation="h",
        marker_color=ACCENT,
        hovertemplate="%{y}: %{x:.4g}<extra></extra>",
    )
    fig = framed(go.Figure(bar), height=max(260, 90 + 20 * len(ordered)))
    fig.update_xaxes(title="importance of the feature to the ranker", rangemode="tozero")
    return fig.update_yaxes(autorange="reversed", automargin=True, ticksuffix=" ", dtick=1)
