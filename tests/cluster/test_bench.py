"""The benchmark runs as its command does, small: figures of both ways, their ratio, and the file."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.bench import bench_app


@pytest.mark.slow
def test_features_are_timed_both_ways(tmp_path: Path) -> None:
    result = CliRunner().invoke(bench_app, ["features", "--events", "2000", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "features.json").read_text())
    assert [row["way"] for row in made["rows"]] == ["ray", "polars"]
    for row in made["rows"]:
        assert row["seconds"] > 0
        assert row["peak_mib"] > 10
    ratio = made["rows"][0]["seconds"] / made["rows"][1]["seconds"]
    assert made["ratios"] == {"ray / polars, 2000 events": ratio}
    assert "build_features on" in result.output


def test_too_few_events_are_refused_with_the_least() -> None:
    result = CliRunner().invoke(bench_app, ["features", "--events", "10"])
    assert "at least 1000" in str(result.exception)
