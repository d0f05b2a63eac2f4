"""Intervals: what they hold, how they narrow, and that models are paired by learner."""

import numpy as np
import pytest

from app.models.evaluation import bootstrap_interval
from app.models.resampling import Resamples


def test_the_interval_of_a_mean_is_the_percentile_bootstrap() -> None:
    values = np.random.default_rng(3).random(211)
    found = Resamples({"x": values}).mean("x")
    low, high = bootstrap_interval(values, rng=np.random.default_rng(0))
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_paired_difference_sees_what_two_intervals_hide() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.random(500)
    mine = theirs + 0.01 + rng.normal(0, 0.01, 500)
    gap = Resamples({"x": mine}).above(Resamples({"x": theirs}), "x")
    assert gap.low > 0.008
    assert gap.high < 0.012
    assert Resamples({"x": mine}).mean("x").low < theirs.mean() < Resamples({"x": mine}).mean("x").high


def test_a_model_does_not_differ_from_itself() -> None:
    values = np.random.default_rng(0).random(50)
    gap = Resamples({"x": values, "y": 1 - values}).above(Resamples({"x": values}), "x")
    assert (gap.mean, gap.low, gap.high) == (0, 0, 0)


def test_a_ratio_is_a_mean_over_what_is_counted() -> None:
    hits, places = np.array([1.0, 0.0, 2.0, 0.0]), np.array([2.0, 0.0, 2.0, 4.0])
    resamples = Resamples({"hits": hits, "places": places, "none": np.zeros(4)})
    found = resamples.ratio("hits", "places")
    assert found.mean == pytest.approx(3 / 8)
    assert 0 <= found.low < found.mean < found.high <= 1
    assert np.isnan(resamples.ratio("hits", "none").mean)


def test_the_interval_holds_the_truth_about_95_times_of_100() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        found = Resamples({"x": rng.random(80)}, seed=seed, draws=300).mean("x")
        held += found.low <= 0.5 <= found.high
    assert 178 <= held <= 199
