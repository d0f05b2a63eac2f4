"""Rules from slos.toml and dashboards from dashboards.toml: `python -m deploy.observability.generate`.

What comes out is kept beside them, so that nobody needs this to use it.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
BURNS = (
    ("1h", "5m", 14.4, "page"),
    ("6h", "30m", 6.0, "page"),
    ("1d", "2h", 3.0, "ticket"),
    ("3d", "6h", 1.0, "ticket"),
)
"""Long and short window, how many times faster than allowed the budget of 30 days burns, and who is told.

The short window ends the alert soon after the trouble does (The Site Reliability Workbook, chapter 5).
"""

RUNBOOKS = "https://github.com/learnrec/learnrec/blob/main/docs/runbooks"

WIDTH, HEIGHT, COLUMNS = 8, 8, 3

Json = dict[str, Any]


def slo_rules(slos: list[Json]) -> Json:
    """For Prometheus: shares of bad requests over all windows, and alerts."""
    windows = list(dict.fromkeys(window for long, short, _, _ in BURNS for window in (short, long)))
    records = [
        {"record": f"learnrec:{slo['name']}:ratio_rate{window}", "expr": slo["bad"].strip().replace("window", window)}
        for slo in slos
        for window in windows
    ]
    alerts = [_alert(slo, *burn) for slo in slos for burn in BURNS]
    return {"groups": [{"name": "learnrec-slo", "rules": records + alerts}]}  # one: those after see those before


def _alert(slo: Json, long: str, short: str, factor: float, severity: str) -> Json:
    name, limit = slo["name"], round(factor * (1 - slo["objective"]), 6)
    return {
        "alert": f"Learnrec{name.capitalize()}Burn{long}",
        "expr": f"learnrec:{name}:ratio_rate{long} > {limit} and learnrec:{name}:ratio_rate{short} > {limit}",
        "labels": {"severity": severity, "slo": name},
        "annotations": {
            "summary": f"the error budget of 30 days burns {factor:g} times too fast: {slo['title']}",
            "description": f"{{{{ $value | humanizePercentage }}}} over {long}; {slo['objective']:.1%} are promised",
            "runbook_url": f"{RUNBOOKS}/{slo['runbook']}.md",
        },
    }


def dashboard(board: Json) -> Json:
    """For Grafana; the data source is a variable."""
    return {
        "uid": f"learnrec-{board['name']}",
        "title": f"learnrec: {board['title']}",
        "tags": ["learnrec"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": [_panel(panel, number) for number, panel in enumerate(board["panel"])],
    }


def _panel(panel: Json, number: int) -> Json:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number + 1,
        "type": panel.get("type", "timeseries"),
        "title": panel["title"],
        "description": panel.get("needs", ""),
        "datasource": source,
        "gridPos": {
            "x": number % COLUMNS * WIDTH,
            "y": number // COLUMNS * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.get("unit", "short"), "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": expr, "legendFormat": legend}
            for place, (legend, expr) in enumerate(panel["query"].items())
        ],
    }


def read(name: str) -> Json:
    return tomllib.loads((HERE / name).read_text())


def files() -> dict[Path, str]:
    """What each generated file should hold."""
    rules = yaml.safe_dump(slo_rules(read("slos.toml")["slo"]), sort_keys=False, width=120)
    made = {HERE / "rules" / "slo.yml": f"# Made from slos.toml by generate.py.\n{rules}"}
    for board in read("dashboards.toml")["dashboard"]:
        made[HERE / "grafana" / f"{board['name']}.json"] = json.dumps(dashboard(board), indent=1) + "\n"
    return made


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
