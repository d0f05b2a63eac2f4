"""The serving benchmark as one page: throughput and latency by number of connections, and where the CPU went."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

COLOURS = ("#3b76e1", "#4aa3b8", "#2a9d6f", "#e08a1e", "#d1495b", "#b05cc6")
PANELS = {
    "per_s": "requests a second",
    "p50_ms": "p50, ms",
    "p95_ms": "p95, ms",
    "cpu_ms_a_request": "CPU of the service, ms a request",
}


def serving_page(result: dict[str, Any]) -> str:
    """HTML that needs nothing else; about 5 MB, most of it plotly.js."""
    rows: Sequence[dict[str, Any]] = result["rows"]
    ways = list(dict.fromkeys(row["way"] for row in rows))
    fig = make_subplots(2, 2, subplot_titles=list(PANELS.values()), horizontal_spacing=0.1, vertical_spacing=0.14)
    for way, colour in zip(ways, COLOURS, strict=False):
        own = [row for row in rows if row["way"] == way]
        for at, panel in enumerate(PANELS):
            line = go.Scatter(
                x=[str(row["connections"]) for row in own],
                y=[row[panel] for row in own],
                name=way,
                legendgroup=way,
                showlegend=at == 0,
                line_color=colour,
                mode="lines+markers",
                hovertemplate="%{y:.1f}",
            )
            fig.add_trace(line, row=1 + at // 2, col=1 + at % 2)
    on = result["machine"]
    title = (
        f"Recommendations over HTTP: {result['num_contents']:,} contents, {result['num_learners']:,} learners, "
        f"{on['cores']} cores, load generator included"
    )
    fig.update_layout(title=title, template="plotly_white", hovermode="x unified", height=820)
    fig.update_xaxes(title="connections", type="category")
    fig.update_yaxes(rangemode="tozero")
    return fig.to_html(include_plotlyjs=True, full_html=True)
