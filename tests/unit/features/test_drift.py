"""How far features have moved since training."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.features.drift import NUM_BINS, FeatureBins

RNG = np.random.default_rng(5)


def rows(shift: float = 0.0, *, size: int = 20_000) -> NDArray[np.float32]:
    """A plain feature, one that is mostly zero, and one that never changes."""
    plain = RNG.normal(shift, 1, size)
    mostly_zero = np.where(RNG.random(size) < 0.8, 0, RNG.random(size) + shift)
    return np.stack([plain, mostly_zero, np.full(size, 3.0)], 1).astype(np.float32)


def test_what_has_not_moved_has_an_index_near_zero() -> None:
    bins = FeatureBins.of(rows())
    assert (bins.index(bins.counts(rows(size=2_000))) < 0.02).all()


def test_what_has_moved_by_a_deviation_is_far_beyond_the_usual_alarm() -> None:
    bins = FeatureBins.of(rows())
    plain, mostly_zero, constant = bins.index(bins.counts(rows(1.0, size=2_000)))
    assert plain > 0.5
    assert 0.05 < mostly_zero < plain, "a fifth of its rows moved"
    assert abs(constant) < 1e-6


def test_the_index_is_the_textbook_sum() -> None:
    bins = FeatureBins.of(np.arange(100, dtype=np.float32)[:, None])
    counts = np.array([[30.0, 10, 10, 10, 10, 10, 5, 5, 5, 5]])
    actual, expected = counts / 100, np.full((1, NUM_BINS), 0.1)
    np.testing.assert_allclose(bins.index(counts), ((actual - expected) * np.log(actual / expected)).sum(1), rtol=1e-4)


def test_what_training_never_saw_counts_and_is_finite() -> None:
    bins = FeatureBins.of(rows())
    never = np.full((500, 3), 1e9, np.float32)
    assert np.isfinite(bins.index(bins.counts(never))).all()
    assert bins.counts(never).sum(1).tolist() == [500.0] * 3


def test_bins_come_back_from_the_disk(tmp_path: Path) -> None:
    bins = FeatureBins.of(rows())
    bins.save(tmp_path / "bins")
    again = FeatureBins.load(tmp_path / "bins")
    np.testing.assert_array_equal(again.edges, bins.edges)
    np.testing.assert_array_equal(again.share, bins.share)
