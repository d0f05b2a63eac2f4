"""The rungs of the ladder, and what each answer says of itself."""

import numpy as np

from app.domain.learners import HISTORY, Learners
from app.domain.slates import ServedBy
from app.policy.ladder import RUNGS, is_personal, labels, rungs

NO, YES = np.array([False]), np.array([True])


def learners(*, user_index: int = 0, history: tuple[int, ...] = (), cohort_index: int = 0) -> Learners:
    row = np.full((1, HISTORY), -1, np.int32)
    row[0, : len(history)] = history
    floats, one = np.zeros((1, HISTORY), np.float32), np.zeros(1, np.float32)
    return Learners(
        user_index=np.array([user_index], np.int32),
        cohort_index=np.array([cohort_index], np.int32),
        history=row,
        history_age_s=floats,
        history_strength=floats,
        num_events=one,
        completion_rate=one,
        session_position=one,
        now=np.zeros(1, np.int64),
    )


def rung(*, personal: bool, scored: bool, proposed: bool, cohort: int = 0) -> ServedBy:
    code = rungs(
        np.array([personal]),
        scored=np.array([scored]),
        proposed=np.array([proposed]),
        cohort_index=np.array([cohort]),
    )
    return RUNGS[int(code[0])]


def test_known_learners_and_those_with_a_history_are_personal() -> None:
    assert is_personal(learners(user_index=3), opted_out=NO).all()
    assert is_personal(learners(history=(5,)), opted_out=NO).all()


def test_the_unknown_and_those_who_opted_out_are_not() -> None:
    assert not is_personal(learners(), opted_out=NO).any()
    assert not is_personal(learners(user_index=3, history=(5,)), opted_out=YES).any()


def test_each_step_down_the_ladder() -> None:
    assert rung(personal=True, scored=True, proposed=True) is ServedBy.RANKER
    assert rung(personal=True, scored=False, proposed=True) is ServedBy.RETRIEVAL
    assert rung(personal=True, scored=False, proposed=False, cohort=2) is ServedBy.POPULAR_IN_COHORT
    assert rung(personal=True, scored=False, proposed=False) is ServedBy.POPULAR
    assert rung(personal=False, scored=False, proposed=False, cohort=2) is ServedBy.POPULAR_IN_COHORT
    assert rung(personal=False, scored=False, proposed=False) is ServedBy.POPULAR


def test_labels_come_once_and_in_one_order() -> None:
    assert labels(["ranker", "milvus", "postgres", "ranker"], personal=True) == ("postgres", "milvus", "ranker")


def test_a_cold_start_slate_misses_nothing_when_a_model_is_gone() -> None:
    assert labels(["ranker", "redis", "embedder"], personal=False) == ("redis",)
