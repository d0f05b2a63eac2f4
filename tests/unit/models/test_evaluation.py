"""Metrics, histories and the timeline, against numbers worked out by hand."""

import numpy as np
import pytest

from app.features.histories import Histories
from app.features.learners import EventArrays
from app.models.baselines import item_knn_scores, top
from app.models.evaluation import bootstrap_interval, calibration_error, list_metrics
from app.models.judge import calibration
from app.models.timeline import Timeline

PAIRS = EventArrays(
    user=np.array([1, 1, 2, 2, 3], np.int32),
    content=np.array([0, 1, 0, 2, 1], np.int32),
    event_type=np.zeros(5, np.int8),
    ts=np.arange(5),
)


def test_metrics_of_a_list_worked_out_by_hand() -> None:
    metrics = list_metrics(np.array([[4, 7, 9]], np.int32), [np.array([7, 8], np.int32)], depths=(2, 10))
    ideal = 1 + 1 / np.log2(3)
    assert metrics["ndcg@2"][0] == pytest.approx((1 / np.log2(3)) / ideal)
    assert metrics["recall@2"].tolist() == [0.5]
    assert metrics["hit@10"].tolist() == [1.0]
    assert metrics["mrr@10"].tolist() == [0.5]


def test_padding_is_never_a_hit() -> None:
    metrics = list_metrics(np.full((1, 5), -1, np.int32), [np.array([-1], np.int32)], depths=(5,))
    assert metrics["hit@5"].tolist() == [0.0]


def test_a_perfect_list_scores_one() -> None:
    metrics = list_metrics(np.array([[1, 2, 3]], np.int32), [np.array([3, 1, 2], np.int32)], depths=(10,))
    assert metrics["ndcg@10"][0] == pytest.approx(1.0)


def test_calibration_error_worked_out_by_hand() -> None:
    score = np.array([0.9, 0.1, 0.3, 0.7], np.float32)  # in two bins: 0.1 and 0.3, 0.7 and 0.9
    happened = np.array([True, False, True, False])
    assert calibration_error(score, happened, num_bins=2) == pytest.approx((abs(0.2 - 0.5) + abs(0.8 - 0.5)) / 2)


def test_scores_that_are_chances_are_calibrated_and_halved_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random(100_000).astype(np.float32)
    happened = rng.random(100_000) < chance
    assert calibration_error(chance, happened) < 0.01
    assert calibration_error(chance / np.float32(2), happened) == pytest.approx(0.25, abs=0.01)


def test_calibration_is_of_what_is_shown_and_padding_is_nothing() -> None:
    index = np.array([[*range(12)], [3, *[-1] * 11]], np.int32)
    score = np.where(index >= 0, 0.4, -np.inf).astype(np.float32)
    found = calibration(index, score, [np.array([0, 11], np.int32), np.array([3], np.int32)])  # 11 is not shown
    assert found == pytest.approx({"calibration_error": found["calibration_error"], "score_to_met": 0.4 / (2 / 11)})
    assert calibration(index, score, [np.array([11], np.int32), np.array([9], np.int32)]) == {}


def test_interval_holds_the_mean_and_narrows_with_more_learners() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.random(50), rng.random(5000)
    low, high = bootstrap_interval(few, rng=rng)
    assert low < few.mean() < high
    narrow_low, narrow_high = bootstrap_interval(many, rng=rng)
    assert narrow_high - narrow_low < (high - low) / 5


def test_histories_are_found_for_any_learners_in_any_order() -> None:
    histories = Histories.of(PAIRS, np.array([2, 9, 1], np.int32))
    assert [part.tolist() for part in histories.lists()] == [[0, 2], [], [0, 1]]
    assert histories.padded().tolist() == [[0, 2], [-1, -1], [0, 1]]
    assert histories.part(2, 3).content.tolist() == [0, 1]


def test_item_knn_proposes_what_similar_learners_met() -> None:
    histories = Histories.of(PAIRS, np.array([3], np.int32))
    ranked = top(item_knn_scores(PAIRS, histories, num_items=3)(np.arange(len(histories))), histories, limit=2)
    assert ranked[0].tolist() == [0, 2]


def test_the_timeline_keeps_order_and_may_lack_a_hold_out() -> None:
    ts = np.arange(1000)
    timeline = Timeline.of(ts)
    assert timeline.ranker_from < timeline.holdout_from < timeline.end == 1000
    whole = Timeline.of(ts, holdout_share=0.0)
    assert whole.holdout_from == whole.end
