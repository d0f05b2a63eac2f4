"""The page: that it needs nothing else, shows everything, and lets no name break out."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from app.models.resampling import Estimate
from jobs.report.page import interval, page, signed, strongest
from jobs.report.report import Report, Training


@pytest.fixture(scope="module")
def full(report: Report) -> Report:
    return replace(report, training=Training({"popularity": 2.0, "recency": 1.0}, {"auc": 0.9, "shuffled_auc": 0.501}))


@pytest.fixture(scope="module")
def html(full: Report) -> str:
    return page(full)


def own(html: str) -> str:
    """The page without plotly.js, the first of its two scripts."""
    start, end = html.index("<script>"), html.index("</script>")
    assert end - start > 1_000_000  # plotly.js is inside
    return html[:start] + html[end:]


def plots_of(html: str) -> dict[str, dict[str, Any]]:
    lines = own(html).partition("const plots = {\n")[2].partition("\n};\n")[0].splitlines()
    return {name: json.loads(text) for name, text in (_entry(line) for line in lines if line.startswith('"'))}


def _entry(line: str) -> tuple[str, str]:
    name, _, text = line.partition(": ")
    return json.loads(name), text.removesuffix(",")


def test_the_page_fetches_nothing(html: str) -> None:
    written = own(html)
    assert written.count("<script") == 1
    assert not re.search(r"<link|<img|<iframe|@import|\bsrc=|url\(", written)
    assert not re.search(r"https?://", written)


def test_every_plot_has_its_place_and_every_place_its_plot(html: str) -> None:
    places = set(re.findall(r'class="plot" id="([a-z-]+)"', html))
    assert places == set(plots_of(html))
    assert places == {
        *("headline", "differences", "curves", "history", "popularity", "beyond", "places"),
        *("ranker", "ranker-curve", "sources", "reliability", "importance"),
    }


def test_every_plot_names_its_axes(html: str) -> None:
    for name, fig in plots_of(html).items():
        layout = fig["layout"]
        said = [layout["xaxis"].get("title", {}).get("text"), *(a["text"] for a in layout.get("annotations", ()))]
        assert any(said), name


def test_the_table_shows_every_model_with_its_interval(full: Report, html: str) -> None:
    for model in full.models:
        found = model.metrics["ndcg@10"]
        assert model.label in html
        assert f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]" in html
    assert "NDCG@10 by model" in html
    assert "the lists are worse" in html  # than first-order Markov
    assert "shuffled_auc 0.5010" in html


def test_without_columns_the_page_says_what_is_missing(report: Report) -> None:
    bare = replace(
        report, stage=None, sources=(), reliability=None, training=None, skipped={"Sources": "no column source"}
    )
    html = page(bare)
    assert "Sources: no column source." in html
    assert set(re.findall(r'class="plot" id="([a-z-]+)"', html)) == set(plots_of(html))
    assert 'id="stage"' not in html


def test_lists_alone_need_no_baseline(report: Report) -> None:
    html = page(replace(report, models=report.models[:1], differences=()))
    assert "strongest baseline" not in html
    assert "differences" not in plots_of(html)


def test_no_name_breaks_out_of_the_page(report: Report) -> None:
    evil = "</script><script>alert(1)</script>"
    html = page(replace(report, file=evil, models=(replace(report.models[0], label=evil), *report.models[1:])))
    assert evil not in html
    assert "&lt;/script&gt;" in html
    assert plots_of(html)["headline"]["data"][0]["y"].count(evil) == 1  # as a label, unharmed


def test_the_strongest_baseline_is_the_one_with_the_highest_ndcg(report: Report) -> None:
    found = strongest(report)
    assert found is not None
    best, gap = found
    assert best.metrics["ndcg@10"].mean == max(m.metrics["ndcg@10"].mean for m in report.models[1:])
    assert gap.name == best.name


def test_what_was_not_there_to_count_is_a_dash() -> None:
    nothing = float("nan")
    assert interval(Estimate(nothing, nothing, nothing)) == "-"
    assert interval(Estimate(0.5, 0.25, 0.75), 2) == "0.50 [0.25, 0.75]"


def test_differences_carry_their_sign() -> None:
    assert signed(Estimate(0.01, -0.002, 0.03), 3) == "+0.010 [\u22120.002, +0.030]"
