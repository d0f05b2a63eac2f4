"""How much a subject or an address may ask in each window of time, over all replicas.

A request is counted here, in memory; several times a second what was counted goes to Redis in one script, which tells
what all replicas counted. While Redis is away, each replica holds to the limit by itself.
"""

import asyncio
import ipaddress
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from limits import parse

from app.adapters.redis_counters import RedisCounters
from app.errors import InvalidInput, Unavailable
from app.serving.problems import Problem

SHARED_EVERY_S = 0.25
"""So much later a replica knows what another let in: a subject may get that much more of its limit."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is left of a limit."""

    amount: int
    length_s: int
    left: int
    ends_in_s: int

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 has them."""
        return {
            "RateLimit-Policy": f'"default";q={self.amount};w={self.length_s}',
            "RateLimit": f'"default";r={self.left};t={self.ends_in_s}',
        }


class Limit:
    """One limit for many keys, each counted by itself. `clock` gives Unix seconds."""

    def __init__(self, name: str, limit: str, *, variable: str, clock: Callable[[], float] = time.time) -> None:
        """Raises InvalidInput: `limit`, of the settings' `variable`, is none that the limits library reads."""
        try:
            self._item = parse(limit)
        except ValueError as exc:
            raise InvalidInput(f"{variable} is {limit!r}: write it like 600/minute") from exc
        self._name, self._clock = name, clock
        self._window = 0
        self._spent: dict[str, int] = {}  # in this window, by everybody as far as we know
        self._unshared: dict[str, int] = {}

    @property
    def length_s(self) -> int:
        return self._item.get_expiry()

    def spend(self, key: str, cost: int = 1) -> Standing:
        """Raises Problem 429; what is refused is not counted."""
        now = self._clock()
        window = int(now // self.length_s)
        if window != self._window:
            self._window, self._spent, self._unshared = window, {}, {}
        spent = self._spent.get(key, 0) + cost
        ends_in_s = math.ceil((window + 1) * self.length_s - now)
        left = self._item.amount - spent
        standing = Standing(self._item.amount, self.length_s, max(0, left), ends_in_s)
        if left < 0:
            detail = f"more than {self._item} for this {self._name}: try again in {ends_in_s} s"
            raise Problem(429, detail, headers={"Retry-After": str(ends_in_s), **standing.headers()})
        self._spent[key] = spent
        self._unshared[key] = self._unshared.get(key, 0) + cost
        return standing

    async def share(self, counters: RedisCounters) -> None:
        """Tell what was counted, and learn what others counted. Raises Unavailable: it is told the next time."""
        telling, window = self._unshared, self._window
        if not telling:
            return
        self._unshared = {}
        prefix = f"limit:{self._name}:{window}:"
        amounts = {prefix + key: amount for key, amount in telling.items()}
        try:
            totals = await counters.add(amounts, ttl_s=2 * self.length_s)
        except Unavailable:
            if window == self._window:
                for key, amount in telling.items():
                    self._unshared[key] = self._unshared.get(key, 0) + amount
            raise
        if window == self._window:
            for name, total in totals.items():
                key = name.removeprefix(prefix)
                self._spent[key] = total + self._unshared.get(key, 0)


async def share_for_ever(counters: RedisCounters, *limits: Limit) -> None:
    """Until cancelled."""
    told = False
    while True:
        try:
            for limit in limits:
                await limit.share(counters)
            told = False
        except Unavailable as exc:
            if not told:
                _LOG.warning("limits hold in each replica alone: %s", exc)
            told = True
        await asyncio.sleep(SHARED_EVERY_S)


def address_of(forwarded_for: str | None, *, hops: int) -> str | None:
    """The client's address as the outermost of `hops` proxies of ours saw it, each of which added one to the header.

    None where there is none to believe: what is further to the left, anybody can write. IPv6 is cut to its network.
    """
    told = [part.strip() for part in (forwarded_for or "").split(",")]
    if not hops or len(told) < hops:
        return None
    try:
        address = ipaddress.ip_address(_without_port(told[-hops]))
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)


def _without_port(told: str) -> str:
    """Some proxies add the client's port: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    if told.startswith("["):
        return told[1:].partition("]")[0]
    return told.partition(":")[0] if told.count(":") == 1 else told
