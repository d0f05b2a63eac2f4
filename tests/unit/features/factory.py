"""Small catalogues, learners and event arrays for tests."""

import numpy as np
import pyarrow as pa

from app.domain.contents import CONTENT_SCHEMA, USER_SCHEMA
from app.domain.ids import canonical_id
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.item_state import Items, items_at
from app.features.learners import EventArrays

START = 1_700_000_000


def catalogue_of(num_items: int, *, seed: int = 0) -> Catalogue:
    rng = np.random.default_rng(seed)
    ids = [f"content {i}" for i in range(num_items)]
    columns = {
        "content_id": [canonical_id(i) for i in ids],
        "external_id": ids,
        "title": [f"Title {i}" for i in range(num_items)],
        "type": rng.choice(["video", "article", "quiz"], num_items).tolist(),
        "tags": [sorted({f"tag {t}" for t in rng.integers(0, 12, 3)}) for _ in range(num_items)],
        "difficulty": pa.array(rng.integers(1, 6, num_items), pa.int8()),
        "created_at": pa.array(np.full(num_items, START * 1_000_000), pa.timestamp("us", tz="UTC")),
    }
    return Catalogue.build(pa.table(columns, schema=CONTENT_SCHEMA))


def vocabulary_of(num_users: int, *, num_cohorts: int = 2) -> LearnerVocabulary:
    ids = [f"learner {i}" for i in range(num_users)]
    columns = {
        "user_id": [canonical_id(i) for i in ids],
        "external_id": ids,
        "cohort_tag": [f"cohort {i % num_cohorts}" for i in range(num_users)],
        "created_at": pa.array(np.zeros(num_users, np.int64), pa.timestamp("us", tz="UTC")),
    }
    return LearnerVocabulary.build(pa.table(columns, schema=USER_SCHEMA))


def events_of(num_events: int, *, num_users: int, num_items: int, seed: int = 0) -> EventArrays:
    rng = np.random.default_rng(seed)
    return EventArrays.sort(
        rng.integers(1, num_users + 1, num_events).astype(np.int32),
        rng.integers(0, num_items, num_events).astype(np.int32),
        rng.integers(0, 4, num_events).astype(np.int8),
        START + rng.permutation(num_events * 60).astype(np.int64)[:num_events],
    )


def items_of(catalogue: Catalogue, vocabulary: LearnerVocabulary, pairs: EventArrays, *, dim: int = 8) -> Items:
    vectors = np.random.default_rng(1).normal(size=(len(catalogue), dim)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return items_at(pairs, unit, catalogue=catalogue, vocabulary=vocabulary, now=int(pairs.ts.max()) + 1)
