"""The benchmark runs as its command does, small: figures of both ways, their ratio, and the file."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli.bench import bench_app


def bench(*arguments: str) -> tuple[int, str]:
    """Exit code and output, of a process of its own: Ray reads how it is let in when it is imported."""
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", "bench", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


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


@pytest.mark.slow
def test_what_is_killed_frozen_or_slow_costs_quality_and_no_answer(tmp_path: Path) -> None:
    small = ["--learners", "300", "--contents", "200", "--only", "postgres", "--only", "ranker"]
    _, output = bench("chaos", *small, "--out", str(tmp_path))
    assert (tmp_path / "chaos.json").exists(), output
    rows = json.loads((tmp_path / "chaos.json").read_text())["rows"]
    assert [(row["victim"], row["fault"]) for row in rows] == [
        (victim, fault)
        for victim in ("PostgreSQL", "Ranker (a replica)")
        for fault in ("killed", "frozen", "throttled")
    ]
    assert all(row["num_requests"] > 100 and not row["num_failed"] and not row["num_empty"] for row in rows)
    assert all(any(label in row["labels"] for label in ("postgres", "ranker")) for row in rows)
    assert all(row["full_again_s"] is not None for row in rows)
    assert "| PostgreSQL | killed |" in output


@pytest.mark.slow
def test_three_times_the_capacity_is_refused_in_part_and_at_once(tmp_path: Path) -> None:
    if shutil.which("wrk") is None and os.environ.get("CI") != "true":
        pytest.skip("wrk is not installed: `apt-get install wrk`")
    small = ["--learners", "300", "--contents", "200", "--seconds", "5"]
    code, output = bench("overload", *small, "--out", str(tmp_path))
    assert code == 0, output
    made = json.loads((tmp_path / "overload.json").read_text())
    assert made["offered_per_s"] > 1.5 * made["capacity_per_s"]
    assert made["num_refused"] > 0
    assert made["num_let_in"] > 0
    assert (made["num_other"], made["num_without_retry_after"], made["num_empty"]) == (0, 0, 0)
    assert made["refused_ms"]["p50"] < made["let_in_ms"]["p50"]


def test_the_gate_is_timed_with_tokens_that_are_new_and_seen_before(tmp_path: Path) -> None:
    result = CliRunner().invoke(bench_app, ["gate", "--requests", "400", "--out", str(tmp_path)])
    made = json.loads((tmp_path / "gate.json").read_text())
    seen, verified = made["rows"]
    assert result.exit_code == int(verified["p95_us"] > made["budget_us"]), result.output
    assert seen["p50_us"] < verified["p50_us"] < verified["p99_us"]
