"""VectorIndex on one Milvus collection: Milvus Lite 3.2 and servers from 2.3 on.

A collection belongs to one release, so hits are turned into that release's catalogue indices here.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus import AsyncMilvusClient
from pymilvus.client.types import LoadState
from pymilvus.exceptions import MilvusException

from app.errors import DeadlineExceeded, Unavailable
from app.ports.vector_index import Neighbours

KEY, VECTOR = "content_id", "embedding"
NUM_LISTS, MIN_PROBES = 128, 10
PING_TIMEOUT_S = 2.0
CHANNEL = {
    "grpc.keepalive_permit_without_calls": False,  # servers count pings between calls and hang up on the client
    "grpc.max_reconnect_backoff_ms": 1_000,  # a server that is back is used at once
}
VISITED_PER_NEIGHBOUR = 10
"""Vectors to look at for each one wanted: ten lists of a small catalogue would not hold the candidates asked for."""


def search_params(num_vectors: int, limit: int) -> dict[str, object]:
    """Ten of the lists in a large collection, as many as it takes in a small one, all of them in a tiny one."""
    wanted = -(-NUM_LISTS * VISITED_PER_NEIGHBOUR * limit // max(num_vectors, 1))
    return {"metric_type": "L2", "params": {"nprobe": min(NUM_LISTS, max(MIN_PROBES, wanted))}}


class MilvusIndex:
    """Searches `collection`; make and use it on one event loop, for the client belongs to it."""

    def __init__(self, uri: str, collection: str, *, content_ids: Sequence[str]) -> None:
        self._client = AsyncMilvusClient(uri, dedicated=True, grpc_options=CHANNEL)
        self._collection = collection
        self._position = {content_id: i for i, content_id in enumerate(content_ids)}

    async def search(self, queries: NDArray[np.float32], *, limit: int, deadline_s: float) -> Neighbours:
        if not len(queries):
            return Neighbours(np.empty((0, limit), np.int32), np.empty((0, limit), np.float32))
        try:
            async with asyncio.timeout(deadline_s):
                found = await self._client.search(
                    self._collection,
                    data=list(np.asarray(queries, np.float32)),
                    anns_field=VECTOR,
                    limit=limit,
                    search_params=search_params(len(self._position), limit),
                    timeout=deadline_s,
                    consistency_level="Eventually",  # a release's collection never changes
                )
        except TimeoutError as exc:
            raise DeadlineExceeded("milvus", f"no answer within {deadline_s * 1000:.0f} ms") from exc
        except (MilvusException, ValueError, OSError) as exc:
            raise Unavailable("milvus", str(exc)) from exc
        return self._neighbours(found, limit)

    def _neighbours(self, found: Sequence[Any], limit: int) -> Neighbours:
        index = np.full((len(found), limit), -1, np.int32)
        distance = np.full((len(found), limit), np.inf, np.float32)
        for row, hits in enumerate(found):
            keys, distances = _columns(hits)
            position = np.fromiter((self._position.get(key, -1) for key in keys), np.int32, len(keys))
            known = position >= 0  # a key that the release does not have is no candidate
            num_known = int(known.sum())
            index[row, :num_known] = position[known]
            distance[row, :num_known] = np.asarray(distances, np.float32)[known]
        return Neighbours(index, distance)

    async def ping(self) -> None:
        """Also has the server load the collection where it has not: Milvus Lite forgets to when it starts again."""
        try:
            async with asyncio.timeout(PING_TIMEOUT_S):
                found = await self._client.get_load_state(self._collection, timeout=PING_TIMEOUT_S)
                if found["state"] == LoadState.NotExist:
                    raise Unavailable("milvus", f"there is no collection {self._collection}")
                if found["state"] == LoadState.NotLoad:
                    await self._client.load_collection(self._collection, timeout=PING_TIMEOUT_S)
        except (MilvusException, TimeoutError, ValueError, OSError) as exc:
            raise Unavailable("milvus", str(exc) or type(exc).__name__) from exc

    async def close(self) -> None:
        """Never raises: what is closed may be gone already."""
        try:
            await self._client.close()
        except (MilvusException, OSError):
            return


def _columns(hits: Any) -> tuple[Sequence[str], Sequence[float]]:
    """Keys and distances of one query's hits, whatever the server calls the key.

    pymilvus keeps both as columns; a client without them gives dicts with the key under `id` or the field's name.
    """
    if hasattr(hits, "ids") and hasattr(hits, "distances"):
        return hits.ids, hits.distances
    return [hit.get(KEY, hit.get("id")) for hit in hits], [hit["distance"] for hit in hits]
