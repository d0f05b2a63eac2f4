"""Prometheus's own tools on the rules and the configuration."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.observability.tools import OBSERVABILITY, program

RULES = sorted((OBSERVABILITY / "rules").glob("*.yml"))
TESTS = sorted((OBSERVABILITY / "tests").glob("*.yml"))


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_rules_are_valid() -> None:
    done = promtool("check", "rules", *RULES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_valid_and_reads_all_rules() -> None:
    done = promtool("check", "config", OBSERVABILITY / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rule files found" in done.stdout + done.stderr


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_to_fire() -> None:
    """Of an SLO one at least, as its alerts differ in windows alone."""
    alerts = [rule for path in RULES for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    tests = [test for path in TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    fired = {each["alertname"] for test in tests for each in test.get("alert_rule_test", ()) if each.get("exp_alerts")}
    plain = {rule["alert"] for rule in alerts if "alert" in rule and "slo" not in rule["labels"]}
    assert plain <= fired
    slos = {rule["alert"]: rule["labels"]["slo"] for rule in alerts if "slo" in rule.get("labels", ())}
    assert set(slos.values()) == {slos[name] for name in fired if name in slos}
