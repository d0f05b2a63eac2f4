"""Counters that several processes share, in Redis; each expires."""

from collections.abc import Mapping

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout

from app.errors import DeadlineExceeded, Unavailable

_ADD = """
local totals = {}
for name, amount in pairs(cjson.decode(ARGV[1])) do
  totals[name] = redis.call('INCRBY', name, amount)
  redis.call('EXPIRE', name, ARGV[2])
end
return cjson.encode(totals)
"""


class RedisCounters:
    """Make and use it on one event loop."""

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self._redis: Redis = Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
        self._add = self._redis.register_script(_ADD)

    async def add(self, amounts: Mapping[str, int], *, ttl_s: int) -> dict[str, int]:
        """Add to each counter at once; what they are then, everybody's additions included. Raises Unavailable."""
        try:
            return orjson.loads(await self._add(args=[orjson.dumps(amounts), ttl_s]))
        except (RedisTimeout, TimeoutError) as exc:
            raise DeadlineExceeded("redis", str(exc) or "no answer in time") from exc
        except (RedisError, OSError) as exc:
            raise Unavailable("redis", str(exc) or type(exc).__name__) from exc

    async def close(self) -> None:
        await self._redis.aclose()
