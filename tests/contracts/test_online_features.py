"""The contract of OnlineFeatures and LiveFeatures, on a real Redis."""

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

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA, BEN, EVE = (str(uuid4()) for _ in range(3))


@pytest.fixture
async def features(clean_redis: str) -> AsyncIterator[RedisFeatures]:
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


async def test_recent_events_come_back_newest_first_for_whom_was_asked(features: RedisFeatures) -> None:
    await features.record(events((ADA, "a", "view", 50), (BEN, "b", "like", 10), (ADA, "c", "complete", 5)))
    found = await features.learners([BEN, EVE, ADA], release="r1", dim=4)
    assert found.contents == (["b"], [], ["c", "a"])
    assert found.event_types == (["like"], [], ["complete", "view"])
    assert found.ts[2] == [int(NOW.timestamp()) - 5, int(NOW.timestamp()) - 50]


async def test_an_event_that_is_sent_again_counts_once(features: RedisFeatures) -> None:
    sent = events((ADA, "a", "view", 50), (ADA, "a", "view", 20))
    await features.record(sent)
    await features.record(sent)
    found = await features.learners([ADA], release="r1", dim=4)
    assert found.contents == (["a", "a"],)


async def test_only_the_newest_window_is_kept(features: RedisFeatures) -> None:
    await features.record(events(*((ADA, f"c{age}", "view", age) for age in range(WINDOW + 20))))
    found = await features.learners([ADA], release="r1", dim=4)
    assert found.contents[0] == [f"c{age}" for age in range(WINDOW)]


async def test_embeddings_belong_to_a_release(features: RedisFeatures) -> None:
    rows = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    await features.cache_embeddings([ADA, BEN], rows, release="r1")
    found = await features.learners([EVE, BEN, ADA], release="r1", dim=4)
    np.testing.assert_array_equal(found.embeddings[1:], rows[::-1])
    assert np.isnan(found.embeddings[0]).all()
    assert np.isnan((await features.learners([ADA], release="r2", dim=4)).embeddings).all()
    assert np.isnan((await features.learners([ADA], release="r1", dim=5)).embeddings).all()


async def test_nobody_asked_for_is_an_empty_answer(features: RedisFeatures) -> None:
    found = await features.learners([], release="r1", dim=4)
    assert found.embeddings.shape == (0, 4)


async def test_every_key_expires(features: RedisFeatures, clean_redis: str) -> None:
    await features.record(events((ADA, "a", "view", 1), (BEN, "a", "view", 1)))
    await features.cache_embeddings([ADA], np.ones((1, 4), np.float32), release="r1")
    await features.put_popularity({"a": 0.5, "b": 0.25})
    await features.settle()
    with Redis.from_url(clean_redis, decode_responses=True) as client:
        keys = sorted(client.scan_iter())
        of_users = {f"user:{ADA}:embedding:r1": 24, f"user:{ADA}:recent_items": 1, f"user:{BEN}:recent_items": 1}
        of_items = {"item:a:popularity": 6, "item:b:popularity": 6, "item:a:learners": 6}
        hours = {**of_users, **of_items, "learnrec:features": 24}
        assert keys == sorted(hours)
        assert all(0.99 < client.ttl(key) / (3600 * hours[key]) <= 1 for key in keys)
        assert float(client.get("item:a:popularity") or 0) == 0.5


async def test_learners_of_a_content_count_once(features: RedisFeatures) -> None:
    sent = events((ADA, "a", "view", 50), (ADA, "a", "complete", 20), (BEN, "a", "view", 10), (BEN, "b", "view", 5))
    for _ in range(2):
        await features.record(sent)
    assert (await features.learners_lately(["b", "a", "c"])).tolist() == [1, 2, 0]


async def test_of_many_one_is_told_that_nothing_is_kept_until_all_is(features: RedisFeatures, clean_redis: str) -> None:
    assert [await features.begin() for _ in range(3)] == [True, False, False]
    await features.settle()
    assert not await features.begin()
    with Redis.from_url(clean_redis) as client:
        client.flushall()
    assert await features.begin()


async def test_a_good_store_answers_a_ping(features: RedisFeatures) -> None:
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
