"""OnlineFeatures and LiveFeatures on Redis ≥ 6. Every key expires.

| key | kind | kept |
|---|---|---|
| `user:{id}:recent_items` | sorted set of `content|type|event` by Unix time, WINDOW newest | 1 h after the last event |
| `user:{id}:embedding:{release}` | float32 bytes | 24 h |
| `item:{id}:popularity` | decimal text, as the last features had it | 6 h |
| `item:{id}:learners` | HyperLogLog of the learners who met it lately: counting them again changes nothing | 6 h |
| `learnrec:features` | `building`, `settled` | 1 min, 24 h |
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Self

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from app.domain.learners import WINDOW
from app.errors import DeadlineExceeded, Unavailable
from app.ports.online_features import OnlineLearners

RECENT_TTL_S, EMBEDDING_TTL_S, POPULARITY_TTL_S = 3_600, 24 * 3_600, 6 * 3_600
BUILDING_TTL_S, SETTLED_TTL_S = 60, 24 * 3_600
MARK, BUILDING, SETTLED = "learnrec:features", b"building", b"settled"
MAX_CONNECTIONS = 16
PUT_BATCH, SCAN_BATCH = 5_000, 10_000
RECORD_BATCH = 1_000
"""Events in one script: Redis does nothing else for a few milliseconds."""

_RECORD = f"""
local noted = cjson.decode(ARGV[1])
for user, scored in pairs(noted.recent) do
  local key = 'user:' .. user .. ':recent_items'
  redis.call('ZADD', key, unpack(scored))
  redis.call('ZREMRANGEBYRANK', key, 0, {-WINDOW - 1})
  redis.call('EXPIRE', key, {RECENT_TTL_S})
end
for content, learners in pairs(noted.learners) do
  local key = 'item:' .. content .. ':learners'
  redis.call('PFADD', key, unpack(learners))
  redis.call('EXPIRE', key, {POPULARITY_TTL_S})
end
"""
"""One command with one answer: five for every event, each packed and awaited here, cost ten times as much."""


class RedisFeatures:
    """Make and use it on one event loop. `timeout_s` bounds each command's wait, connecting included."""

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            decode_responses=False,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._record = self._redis.register_script(_RECORD)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._redis.aclose()

    async def learners(self, user_ids: Sequence[str], *, release: str, dim: int) -> OnlineLearners:
        embeddings = np.full((len(user_ids), dim), np.nan, np.float32)
        if not user_ids:
            return OnlineLearners((), (), (), embeddings)
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for user_id in user_ids:
                    pipe.zrange(_recent_key(user_id), 0, WINDOW - 1, desc=True, withscores=True)
                pipe.mget([_embedding_key(user_id, release) for user_id in user_ids])
                *recent, cached = await pipe.execute()
        for row, raw in enumerate(cached):
            if raw is not None and len(raw) == 4 * dim:
                embeddings[row] = np.frombuffer(raw, np.float32)
        return OnlineLearners(*_columns(recent), embeddings)

    async def record(self, events: pa.Table) -> None:
        """The same event_id again changes nothing."""
        if not events.num_rows:
            return
        with _translated():
            for start in range(0, events.num_rows, RECORD_BATCH):
                await self._record(args=[_noted(events.slice(start, RECORD_BATCH))])

    async def forget(self, user_id: str) -> None:
        """The learner's recent events. Embeddings, which go by themselves, are used for nobody who opted out."""
        with _translated():
            await self._redis.unlink(_recent_key(user_id))

    async def erase(self, user_id: str) -> int:
        """Every key of the learner; returns how many there were."""
        with _translated():
            keys = [key async for key in self._redis.scan_iter(f"user:{user_id}:*", count=SCAN_BATCH)]
            return int(await self._redis.unlink(*keys)) if keys else 0

    async def stored_of(self, user_id: str) -> dict[str, list[str]]:
        """The learner's keys: recent events as they stand there, of embeddings only that there are some."""
        with _translated():
            keys = [key async for key in self._redis.scan_iter(f"user:{user_id}:*", count=SCAN_BATCH)]
            recent = await self._redis.zrange(_recent_key(user_id), 0, -1)
        return {"keys": sorted(map(_text, keys)), "recent_items": list(map(_text, recent))}

    async def num_keys(self, user_id: str) -> int:
        """Keys of the learner."""
        with _translated():
            return sum([1 async for _ in self._redis.scan_iter(f"user:{user_id}:*", count=SCAN_BATCH)])

    async def begin(self) -> bool:
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(MARK, BUILDING, nx=True, ex=BUILDING_TTL_S)
                pipe.get(MARK)
                is_new, state = await pipe.execute()
            if state == SETTLED:
                await self._redis.expire(MARK, SETTLED_TTL_S)
        return bool(is_new)

    async def settle(self) -> None:
        with _translated():
            await self._redis.set(MARK, SETTLED, ex=SETTLED_TTL_S)

    async def learners_lately(self, content_ids: Sequence[str]) -> NDArray[np.int64]:
        """Of each content, about how many learners met it in the last hours. `[n]`."""
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for content_id in content_ids:
                    pipe.pfcount(_learners_key(content_id))
                return np.array(await pipe.execute(), np.int64)

    async def cache_embeddings(self, user_ids: Sequence[str], embeddings: NDArray[np.float32], *, release: str) -> None:
        rows = np.ascontiguousarray(embeddings, np.float32)
        with _translated():
            async with self._redis.pipeline(transaction=False) as pipe:
                for user_id, row in zip(user_ids, rows, strict=True):
                    pipe.set(_embedding_key(user_id, release), row.tobytes(), ex=EMBEDDING_TTL_S)
                await pipe.execute()

    async def put_popularity(self, popularity: Mapping[str, float]) -> None:
        scores = iter(popularity.items())
        with _translated():
            while part := list(islice(scores, PUT_BATCH)):
                async with self._redis.pipeline(transaction=False) as pipe:
                    for content_id, score in part:
                        pipe.set(f"item:{content_id}:popularity", repr(float(score)), ex=POPULARITY_TTL_S)
                    await pipe.execute()

    async def ping(self) -> None:
        with _translated():
            await self._redis.ping()


def _noted(events: pa.Table) -> bytes:
    """What the script takes: scores and members by learner, learners by content; scores as text, which Lua keeps."""
    recent: dict[str, list[str]] = {}
    learners: dict[str, list[str]] = {}
    seconds = (events["ts"].cast(pa.int64()).to_numpy() / 1e6).tolist()
    names = (events[name].to_pylist() for name in ("user_id", "content_id", "event_type", "event_id"))
    for user_id, content_id, event_type, event_id, ts in zip(*names, seconds, strict=True):
        recent.setdefault(user_id, []).extend((repr(ts), f"{content_id}|{event_type}|{event_id}"))
        learners.setdefault(content_id, []).append(user_id)
    return orjson.dumps({"recent": recent, "learners": learners})


def _text(value: Any) -> str:
    return bytes(value).decode()


def _recent_key(user_id: str) -> str:
    return f"user:{user_id}:recent_items"


def _learners_key(content_id: str) -> str:
    return f"item:{content_id}:learners"


def _embedding_key(user_id: str, release: str) -> str:
    return f"user:{user_id}:embedding:{release}"


Columns = tuple[tuple[list[str], ...], tuple[list[str], ...], tuple[list[int], ...]]


def _columns(recent: Sequence[Sequence[tuple[bytes, float]]]) -> Columns:
    """Contents, event types and Unix seconds of each learner's members, in their order."""
    parts = [[(*member.decode().split("|", 2)[:2], int(score)) for member, score in row] for row in recent]
    return (
        tuple([content for content, _, _ in row] for row in parts),
        tuple([event_type for _, event_type, _ in row] for row in parts),
        tuple([ts for _, _, ts in row] for row in parts),
    )


@contextmanager
def _translated() -> Iterator[None]:
    """Redis's errors as ours."""
    try:
        yield
    except (RedisTimeout, TimeoutError) as exc:
        raise DeadlineExceeded("redis", str(exc) or "no answer in time") from exc
    except (RedisError, OSError) as exc:
        raise Unavailable("redis", str(exc) or type(exc).__name__) from exc
