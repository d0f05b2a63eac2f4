"""Limits that hold over several replicas, by a real Redis, and without it in each."""

import pytest
from redis import Redis

from app.adapters.redis_counters import RedisCounters
from app.errors import Unavailable
from app.serving.limits import Limit
from app.serving.problems import Problem


def replicas(number: int) -> list[Limit]:
    return [Limit("subject", "10/hour", variable="", clock=lambda: 7200.0 + 60) for _ in range(number)]


async def test_what_one_replica_let_in_counts_in_the_other(clean_redis: str) -> None:
    counters, (one, other) = RedisCounters(clean_redis), replicas(2)
    for _ in range(6):
        one.spend("ada")
    other.spend("ada")
    for replica in (one, other, one):
        await replica.share(counters)
        one.spend("ben")
    assert other.spend("ada").left == 2
    assert one.spend("ben").left == 6
    one.spend("ada")
    await one.share(counters)
    other.spend("ada")
    await other.share(counters)
    with pytest.raises(Problem, match="10 per 1 hour"):
        other.spend("ada", 2)
    await counters.close()


async def test_every_counter_expires(clean_redis: str) -> None:
    counters, (one,) = RedisCounters(clean_redis), replicas(1)
    one.spend("ada")
    await one.share(counters)
    with Redis.from_url(clean_redis) as client:
        (name,) = client.scan_iter()
        assert 0 < client.ttl(name) <= 7200
    await counters.close()


async def test_without_redis_each_holds_to_the_limit_and_tells_later(clean_redis: str) -> None:
    away, counters, (one, other) = RedisCounters("redis://127.0.0.1:9/0"), RedisCounters(clean_redis), replicas(2)
    one.spend("ada", 4)
    with pytest.raises(Unavailable):
        await one.share(away)
    assert one.spend("ada", 5).left == 1
    with pytest.raises(Problem):
        one.spend("ada", 2)
    await one.share(counters)
    other.spend("ada")
    await other.share(counters)
    with pytest.raises(Problem):
        other.spend("ada")
    await away.close()
    await counters.close()
