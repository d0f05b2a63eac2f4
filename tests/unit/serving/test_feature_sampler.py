"""What a ranker remembers of the features that it was given."""

import numpy as np

from app.domain.slates import EVIDENCE, Candidates
from app.features.drift import FeatureBins
from app.features.ranking import PLAIN_FEATURES
from app.serving.drift import EVERY_S, HALF_LIFE_S, ROWS, FeatureSampler

RNG = np.random.default_rng(3)
AXES = 4


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def batch(num_learners: int = 8, num_candidates: int = 100, *, padding: int = 10) -> tuple[np.ndarray, Candidates]:
    shape = (num_learners, num_candidates)
    index = np.tile(np.arange(num_candidates, dtype=np.int32), (num_learners, 1))
    index[:, num_candidates - padding :] = -1
    matrix = RNG.random((num_learners * num_candidates, 2 * AXES + len(PLAIN_FEATURES)), np.float32)
    matrix[(index < 0).ravel()] = np.nan
    evidence = np.zeros((*shape, len(EVIDENCE)), np.float32)
    return matrix, Candidates(index, np.zeros(shape, np.float32), np.zeros(shape, np.int8), evidence)


def sampler(clock: Clock) -> FeatureSampler:
    return FeatureSampler(FeatureBins.of(RNG.random((1_000, len(PLAIN_FEATURES)), np.float32)), clock=clock)


def test_only_some_rows_are_kept_and_none_of_padding() -> None:
    clock = Clock()
    seen = sampler(clock)
    matrix, candidates = batch(64)
    seen.offer(matrix, candidates)
    counts = seen.counts()
    assert counts is not None
    assert set(counts.sum(1)) == {counts[0].sum()}, "every feature of every row falls in one bin"
    assert 0.7 * ROWS < counts[0].sum() <= ROWS


def test_when_enough_was_seen_the_next_batches_are_let_pass_for_a_while() -> None:
    clock = Clock()
    seen = sampler(clock)
    for _ in range(50):
        seen.offer(*batch(1, 100))
    enough = seen.counts()
    assert enough is not None
    assert enough[0].sum() <= ROWS
    clock.now += EVERY_S
    seen.offer(*batch(1, 100))
    more = seen.counts()
    assert more is not None
    assert round(more[0].sum() - enough[0].sum()) == 90


def test_the_past_fades() -> None:
    clock = Clock()
    seen = sampler(clock)
    seen.offer(*batch())
    before = seen.counts()
    clock.now += HALF_LIFE_S
    after = seen.counts()
    assert before is not None
    assert after is not None
    np.testing.assert_allclose(after, before / 2)


def test_a_release_without_bins_costs_and_tells_nothing() -> None:
    seen = FeatureSampler(None)
    seen.offer(*batch())
    assert seen.counts() is None
