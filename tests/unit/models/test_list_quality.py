"""Metrics of lists against their definitions, computed slowly, and against numbers worked out by hand."""

import math
import time

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.evaluation import coverage, diversity, exposure, gini, hits, list_metrics, novelty


@st.composite
def judged_lists(draw: st.DrawFn) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    items, learners, length = draw(st.integers(3, 30)), draw(st.integers(1, 6)), draw(st.integers(1, 12))
    ranked = np.full((learners, length), -1, np.int32)
    for row in ranked:
        used = min(items, int(rng.integers(0, length + 1)))
        row[:used] = rng.permutation(items)[:used]
    relevant = [rng.permutation(items)[: rng.integers(1, items)].astype(np.int32) for _ in range(learners)]
    return ranked, relevant


@settings(deadline=None)
@given(judged_lists(), st.integers(1, 15))
def test_metrics_are_what_their_definitions_say(case: tuple[np.ndarray, list[np.ndarray]], k: int) -> None:
    ranked, relevant = case
    metrics = list_metrics(ranked, relevant, depths=(k,))
    for number, (row, truth) in enumerate(zip(ranked.tolist(), relevant, strict=True)):
        right = [place for place, item in enumerate(row[:k]) if item >= 0 and item in truth.tolist()]
        ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(truth))))
        assert metrics[f"ndcg@{k}"][number] == pytest.approx(sum(1 / math.log2(p + 2) for p in right) / ideal)
        assert metrics[f"recall@{k}"][number] == pytest.approx(len(right) / len(truth))
        assert metrics[f"hit@{k}"][number] == bool(right)
        assert metrics[f"mrr@{k}"][number] == pytest.approx(1 / (right[0] + 1) if right else 0)


@settings(deadline=None)
@given(judged_lists())
def test_a_hit_moved_up_never_lowers_a_metric(case: tuple[np.ndarray, list[np.ndarray]]) -> None:
    ranked, relevant = case
    found = hits(ranked, relevant)
    better = np.take_along_axis(ranked, np.argsort(~found, axis=1, kind="stable"), 1)
    before, after = list_metrics(ranked, relevant, depths=(3,)), list_metrics(better, relevant, depths=(3,))
    assert all((after[name] >= before[name] - 1e-12).all() for name in before)


def test_hits_need_one_list_a_learner() -> None:
    with pytest.raises(ValueError, match="2 lists for 1 learners"):
        hits(np.zeros((2, 3), np.int32), [np.array([1], np.int32)])


def test_lists_of_nothing_hit_nothing() -> None:
    assert not hits(np.full((2, 3), -1, np.int32), [np.array([1], np.int32)] * 2).any()
    assert hits(np.empty((1, 0), np.int32), [np.array([1], np.int32)]).shape == (1, 0)


def test_six_thousand_lists_take_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    ranked = rng.integers(0, 3000, (6040, 100)).astype(np.int32)
    relevant = [rng.integers(0, 3000, 40).astype(np.int32) for _ in range(6040)]
    started = time.process_time()
    list_metrics(ranked, relevant)
    assert time.process_time() - started < 1.0


def test_coverage_and_gini_count_what_is_shown() -> None:
    shown = exposure(np.array([[0, 1, 3], [0, 2, -1]], np.int32), num_items=4, depth=2)
    assert shown.tolist() == [2, 1, 1, 0]
    assert coverage(shown) == 0.75
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)  # (n - 1) / n, the most that n contents allow
    assert gini(shown) == pytest.approx(2 * (0 + 2 * 1 + 3 * 1 + 4 * 2) / (4 * 4) - 5 / 4)
    assert gini(np.zeros(4, np.int64)) == 0


def test_novelty_is_bits_of_the_share_who_met_it() -> None:
    ranked = np.array([[0, 1], [2, -1], [-1, -1]], np.int32)
    bits = novelty(ranked, np.array([8, 2, 0]), num_learners=8)
    assert bits[:2].tolist() == [(0 + 2) / 2, 3]
    assert np.isnan(bits[2])


def test_diversity_is_the_mean_jaccard_distance_of_tags() -> None:
    tags = sp.csr_matrix(np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0], [0, 0, 0]]))
    ranked = np.array([[0, 1, 2], [0, 2, -1], [0, 3, -1], [-1, -1, -1]], np.int32)
    varied = diversity(ranked, tags)
    assert varied[0] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert varied[1] == 0
    assert np.isnan(varied[2:]).all()  # content 3 has no tag, so there is no pair
