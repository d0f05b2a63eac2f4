"""The contract of OnlineFeatures, on a real Redis."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from redis import Redis

from app.adapters.redis_features import RedisFeatures
from app.domain.events import EVENT_SCHEMA
from app.domain.learners import WINDOW
from app.errors import Unavailable
from app.ports.online_features import OnlineFeatures

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA, BEN, EVE = (str(uuid4()) for _ in range(3))


@pytest.fixture
async def features(clean_redis: str) -> AsyncIterator[OnlineFeatures]:
    async with RedisFeatures(clean_redis) as made:
        yield made


def events(*rows: tuple[str, str, str, int]) -> pa.Table:
    """Rows of (learner, content, type, seconds before NOW)."""
    return pa.Table.from_pylist(
        [
            {
                "event_id": str(uuid4()),
                "user_id": user_id,
                "content_id": content_id,
                "event_type": event_type,
                "value": None,
                "ts": NOW - timedelta(seconds=age),
            }
            for user_id, content_id, event_type, age in rows
        ],
        schema=EVENT_SCHEMA,
    )


async def test_recent_events_come_back_newest_first_for_whom_was_asked(features: OnlineFeatures) -> None:
    await features.record(events((ADA, "a", "view", 50), (BEN, "b", "like", 10), (ADA, "c", "complete", 5)))
    found = await features.learners([BEN, EVE, ADA], release="r1", dim=4)
    assert found.contents == (["b"], [], ["c", "a"])
    assert found.event_types == (["like"], [], ["complete", "view"])
    assert found.ts[2] == [int(NOW.timestamp()) - 5, int(NOW.timestamp()) - 50]


async def test_an_event_that_is_sent_again_counts_once(features: OnlineFeatures) -> None:
    sent = events((ADA, "a", "view", 50), (ADA, "a", "view", 20))
    await features.record(sent)
    await features.record(sent)
    found = await features.learners([ADA], release="r1", dim=4)
    assert found.contents == (["a", "a"],)


async def test_only_the_newest_window_is_kept(features: OnlineFeatures) -> None:
    await features.record(events(*((ADA, f"c{age}", "view", age) for age in range(WINDOW + 20))))
    found = await features.learners([ADA], release="r1", dim=4)
    assert found.contents[0] == [f"c{age}" for age in range(WINDOW)]


async def test_embeddings_belong_to_a_release(features: OnlineFeatures) -> None:
    rows = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    await features.cache_embeddings([ADA, BEN], rows, release="r1")
    found = await features.learners([EVE, BEN, ADA], release="r1", dim=4)
    np.testing.assert_array_equal(found.embeddings[1:], rows[::-1])
    assert np.isnan(found.embeddings[0]).all()
    assert np.isnan((await features.learners([ADA], release="r2", dim=4)).embeddings).all()
    assert np.isnan((await features.learners([ADA], release="r1", dim=5)).embeddings).all()


async def test_nobody_asked_for_is_an_empty_answer(features: OnlineFeatures) -> None:
    found = await features.learners([], release="r1", dim=4)
    assert found.embeddings.shape == (0, 4)


async def test_every_key_expires(features: OnlineFeatures, clean_redis: str) -> None:
    await features.record(events((ADA, "a", "view", 1), (BEN, "a", "view", 1)))
    await features.cache_embeddings([ADA], np.ones((1, 4), np.float32), release="r1")
    await features.put_popularity({"a": 0.5, "b": 0.25})
    with Redis.from_url(clean_redis, decode_responses=True) as client:
        keys = sorted(client.scan_iter())
        expected = [f"user:{ADA}:embedding:r1", f"user:{ADA}:recent_items", f"user:{BEN}:recent_items"]
        assert keys == sorted(["item:a:popularity", "item:b:popularity", *expected])
        assert {key.split(":")[2]: client.ttl(key) > limit * 0.99 for key in keys for limit in _limits(key)} == {
            "popularity": True,
            "recent_items": True,
            "embedding": True,
        }
        assert float(client.get("item:a:popularity") or 0) == 0.5


def _limits(key: str) -> tuple[float, ...]:
    return ({"popularity": 6 * 3600, "recent_items": 3600, "embedding": 24 * 3600}[key.split(":")[2]],)


async def test_a_good_store_answers_a_ping(features: OnlineFeatures) -> None:
    await features.ping()


async def test_a_server_that_does_not_answer_is_unavailable() -> None:
    async with RedisFeatures("redis://127.0.0.1:9/0", timeout_s=0.5) as features:
        for ask in (
            features.ping(),
            features.learners([ADA], release="r1", dim=4),
            features.record(events((ADA, "a", "view", 1))),
            features.cache_embeddings([ADA], np.ones((1, 4), np.float32), release="r1"),
            features.put_popularity({"a": 1.0}),
        ):
            with pytest.raises(Unavailable, match="redis"):
                await ask
