"""Capacity agrees with what was measured, grows with the load, and says what it cannot reckon."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.errors import InvalidInput
from cluster.capacity.model import COSTS, load_costs, load_of, most_rps, plan, stage_ms
from cluster.cli.root import app

KNOWN = load_costs()
DAY = {"learners": 1_000_000, "events_per_day": 1_000_000}


@pytest.mark.parametrize(
    ("items", "clients", "measured_rps"), [(10_000, 64, 585), (10_000, 8, 366), (100_000, 8, 257), (1_000_000, 8, 228)]
)
def test_two_cores_answer_about_as_many_as_they_were_seen_to(items: int, clients: int, measured_rps: float) -> None:
    """docs/performance.md."""
    assert most_rps(2, (items, clients), KNOWN) == pytest.approx(measured_rps, rel=0.35)


@pytest.mark.parametrize(("items", "more_ms"), [(10_000, 0.0), (100_000, 0.82), (1_000_000, 2.78)])
def test_more_contents_cost_what_they_were_seen_to(items: int, more_ms: float) -> None:
    base = sum(stage_ms(10_000, KNOWN).values())
    assert sum(stage_ms(items, KNOWN).values()) - base == pytest.approx(more_ms, abs=0.25)


def test_every_part_grows_with_what_it_is_for() -> None:
    small = plan(load_of(rps=500, items=10_000, **DAY), KNOWN)
    busy = plan(load_of(rps=10_000, items=10_000, **DAY), KNOWN)
    wide = plan(load_of(rps=500, items=10_000_000, **DAY), KNOWN)
    told = plan(load_of(rps=500, items=10_000, learners=1_000_000, events_per_day=10**10), KNOWN)
    assert all(busy.replicas[stage] > 2 * small.replicas[stage] for stage in small.replicas)
    assert wide.replica_gib["ingress"] > small.replica_gib["ingress"]
    assert wide.replicas["retriever"] > small.replicas["retriever"]
    assert int(told.stores["Kafka"].split()[0]) > int(small.stores["Kafka"].split()[0])
    assert sum(busy.usd_a_month.values()) > sum(small.usd_a_month.values())


def test_own_costs_take_the_place_of_the_measured_ones(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("[node]\ncpu_hour_usd = 0.126\n")
    load = load_of(rps=500, items=10_000, **DAY)
    twice, once = (plan(load, known).usd_a_month["serving"] for known in (load_costs(own), KNOWN))
    assert twice == pytest.approx(2 * once)
    assert load_costs(COSTS) == KNOWN


@pytest.mark.parametrize(
    ("text", "told"),
    [("[node]\nwheels = 4\n", "node.wheels"), ("not toml", "cannot read costs"), (None, "cannot read")],
)
def test_costs_that_mean_nothing_are_refused(tmp_path: Path, text: str | None, told: str) -> None:
    own = tmp_path / "own.toml"
    if text is not None:
        own.write_text(text)
    with pytest.raises(InvalidInput, match=told):
        load_costs(own)


def test_all_that_is_wrong_with_a_load_is_said_at_once() -> None:
    with pytest.raises(InvalidInput, match=r"--rps: .*; --items: .*; --events-per-day"):
        load_of(rps=0, items=0, learners=1, events_per_day=-1)


def test_a_catalogue_that_no_machine_holds_is_said_to_be_one() -> None:
    with pytest.raises(InvalidInput, match="give larger machines"):
        plan(load_of(rps=500, items=10**8, **DAY), KNOWN)


def test_the_command_says_where_it_extrapolates() -> None:
    said = CliRunner().invoke(app, ["capacity", "--rps", "10000", "--items", "10000000"])
    assert said.exit_code == 0, said.output
    assert "extrapolated" in said.output
    assert "shards" in said.output
