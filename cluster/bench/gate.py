"""What the gate costs each request: the token, the limits and the table of routes, without a network."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jwt
import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from fastapi import Request

from app.serving.access import Role
from app.serving.auth import TokenVerifier
from app.serving.gate import Gate
from app.serving.key_source import FileKeys
from app.serving.keys import make_development_keys
from app.serving.limits import Limit
from cluster.bench.measure import machine

WHO: Any = {"issuer": "learnrec", "audience": "learnrec"}
ROUTE = "/recommend/{user_id}"
PLENTY = "1000000000/hour"
BUDGET_US = 1_000.0


def measure_gate(num_requests: int) -> dict[str, Any]:
    """Microseconds of a request whose token was seen before, and of one whose signature is checked."""
    with TemporaryDirectory() as folder:
        pem, jwks = Path(folder) / "jwt.pem", Path(folder) / "jwks.json"
        make_development_keys(pem, jwks)
        tokens = _tokens(pem.read_bytes(), jwks.read_bytes(), number=num_requests)
        gate = Gate(
            TokenVerifier(FileKeys(jwks), **WHO),
            Limit("subject", PLENTY, variable=""),
            Limit("address", PLENTY, variable=""),
            hops=1,
        )
        rows = asyncio.run(_both(gate, tokens))
    return {"machine": machine(), "num_requests": num_requests, "budget_us": BUDGET_US, "rows": rows}


def _tokens(pem: bytes, jwks: bytes, *, number: int) -> list[str]:
    """As `sign_token` makes them, but the key is read once: that costs more than all else."""
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, RSAPrivateKey)
    now, headers = int(time.time()), {"kid": json.loads(jwks)["keys"][0]["kid"]}
    claims = {"role": Role.LEARNER.value, "iss": WHO["issuer"], "aud": WHO["audience"], "iat": now, "nbf": now}
    return [
        jwt.encode({"sub": f"learner-{n}", "exp": now + 3_600, **claims}, key, "RS256", headers) for n in range(number)
    ]


async def _both(gate: Gate, tokens: Sequence[str]) -> list[dict[str, Any]]:
    first = await _timed([_passing(gate, token) for token in tokens])
    again = await _timed([_passing(gate, tokens[-1 - n % 100]) for n in range(len(tokens))])
    return [{"way": "token seen before", **again}, {"way": "token verified", **first}]


def _passing(gate: Gate, token: str) -> Callable[[], Awaitable[object]]:
    """One request as it comes from the wire, its headers not read yet."""
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"x-forwarded-for", b"203.0.113.7, 198.51.100.7")]
    request = Request({"type": "http", "method": "GET", "path": "/recommend/ada", "headers": headers})
    return lambda: gate.passed(request, ROUTE)


async def _timed(calls: Sequence[Callable[[], Awaitable[object]]]) -> dict[str, float]:
    spent_ns = np.empty(len(calls), np.int64)
    for place, call in enumerate(calls):
        began = time.perf_counter_ns()
        await call()
        spent_ns[place] = time.perf_counter_ns() - began
    p50, p95, p99 = np.percentile(spent_ns / 1_000, [50, 95, 99])
    return {"p50_us": float(p50), "p95_us": float(p95), "p99_us": float(p99)}
