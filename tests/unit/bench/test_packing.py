"""What a rival is asked is what our stages are asked, to the last bit."""

from dataclasses import fields

import numpy as np

from app.domain.learners import HISTORY, Learners
from app.domain.slates import EVIDENCE, Candidates
from cluster.bench.packing import pack_learners, pack_question, unpack_learners, unpack_question

DIM, SIZE, NUM = 8, 3, 5
rng = np.random.default_rng(1)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


LEARNERS = Learners(
    user_index=rng.integers(0, 2**31 - 1, SIZE, np.int32),
    cohort_index=rng.integers(0, 9, SIZE, np.int32),
    history=rng.integers(-1, 10**6, (SIZE, HISTORY), np.int32),
    history_age_s=floats(SIZE, HISTORY),
    history_strength=floats(SIZE, HISTORY),
    num_events=floats(SIZE),
    completion_rate=floats(SIZE),
    session_position=floats(SIZE),
    now=np.full(SIZE, 1_767_225_600, np.int64),
)


def assert_same(one: object, other: object, kind: type[Learners] | type[Candidates]) -> None:
    for field in fields(kind):
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=field.name)


def test_learners_survive() -> None:
    assert_same(unpack_learners(pack_learners(LEARNERS)), LEARNERS, Learners)


def test_a_question_survives_padding_included() -> None:
    score = floats(SIZE, NUM)
    score[:, -1] = -np.inf
    candidates = Candidates(
        index=rng.integers(-1, 10**6, (SIZE, NUM), np.int32),
        score=score,
        source=rng.integers(0, 5, (SIZE, NUM), np.int8),
        evidence=floats(SIZE, NUM, len(EVIDENCE)),
    )
    embeddings = floats(SIZE, DIM)
    learners, theirs, found = unpack_question(pack_question(LEARNERS, embeddings, candidates), dim=DIM)
    assert_same(learners, LEARNERS, Learners)
    assert_same(found, candidates, Candidates)
    np.testing.assert_array_equal(theirs, embeddings)
