"""The contract of VectorIndex and VectorStore: FAISS, Milvus Lite and a real Milvus 2.3 server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray
from pymilvus import MilvusClient

from app.adapters.faiss_index import MAX_FLAT, FaissIndex, write_faiss
from app.adapters.milvus_index import MilvusIndex
from app.adapters.milvus_store import MilvusStore
from app.domain.ids import canonical_id
from app.errors import Conflict, DeadlineExceeded, InvalidInput, NotFound, Unavailable
from app.ports.vector_index import VectorIndex

NUM_ITEMS, DIM = 2_500, 128
IDS = [canonical_id(f"content {i}") for i in range(NUM_ITEMS)]


def vectors(seed: int, count: int = NUM_ITEMS) -> NDArray[np.float32]:
    made = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


VECTORS = vectors(1)
CREATED_AT = np.arange(NUM_ITEMS, dtype=np.int64)


@pytest.fixture(scope="module", params=["milvus_lite_uri", "milvus_server_uri"])
def milvus_uri(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["faiss", "milvus_lite_uri", "milvus_server_uri"])
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorIndex]:
    if request.param == "faiss":
        write_faiss(tmp_path / "index.faiss", VECTORS)
        yield FaissIndex(tmp_path / "index.faiss")
        return
    uri = request.getfixturevalue(request.param)
    if uri not in _BUILT:
        _BUILT[uri] = f"index_{uuid4().hex}"
        MilvusStore(uri).build(_BUILT[uri], IDS, embeddings=VECTORS, created_at=CREATED_AT)
    made = MilvusIndex(uri, _BUILT[uri], content_ids=IDS)
    yield made
    await made.close()


_BUILT: dict[str, str] = {}
"""Collection by server: filled once, searched by every test."""


async def test_a_vector_is_its_own_nearest_neighbour(index: VectorIndex) -> None:
    found = await index.search(VECTORS[:40], limit=5, deadline_s=10)
    assert found.index[:, 0].tolist() == list(range(40))
    np.testing.assert_allclose(found.distance[:, 0], 0, atol=1e-5)


async def test_distances_are_squared_l2_and_nearest_first(index: VectorIndex) -> None:
    queries = vectors(2, 8)
    found = await index.search(queries, limit=20, deadline_s=10)
    expected = ((queries[:, None] - VECTORS[found.index]) ** 2).sum(-1)
    np.testing.assert_allclose(found.distance, expected, rtol=1e-4)
    assert (np.diff(found.distance, axis=1) >= -1e-6).all()
    assert (found.index.dtype, found.distance.dtype) == (np.int32, np.float32)


async def test_most_of_the_true_neighbours_are_found_where_the_vectors_cluster(index: VectorIndex) -> None:
    queries = VECTORS[100:164] + (vectors(3, 64) * np.float32(0.02)).astype(np.float32)
    truth = np.argsort(((queries[:, None] - VECTORS) ** 2).sum(-1), axis=1)[:, :1]
    found = await index.search(queries, limit=10, deadline_s=10)
    assert (found.index[:, :1] == truth).mean() > 0.9


async def test_more_than_there_is_leaves_empty_cells(index: VectorIndex) -> None:
    found = await index.search(VECTORS[:2], limit=NUM_ITEMS + 10, deadline_s=10)
    assert found.index.shape == (2, NUM_ITEMS + 10)
    assert (found.index[:, -10:] == -1).all()
    assert np.isinf(found.distance[:, -10:]).all()


async def test_no_query_gives_no_row(index: VectorIndex) -> None:
    found = await index.search(np.empty((0, DIM), np.float32), limit=3, deadline_s=10)
    assert found.index.shape == found.distance.shape == (0, 3)


async def test_many_searches_at_once_each_get_their_own_answer(index: VectorIndex) -> None:
    rows = range(0, 400, 10)
    found = await asyncio.gather(*(index.search(VECTORS[row : row + 3], limit=1, deadline_s=20) for row in rows))
    assert [f.index[:, 0].tolist() for f in found] == [[row, row + 1, row + 2] for row in rows]


async def test_a_deadline_that_cannot_be_met_is_said_so(index: VectorIndex) -> None:
    with pytest.raises(DeadlineExceeded):
        await index.search(vectors(4, 1_000), limit=100, deadline_s=0.0005)
    found = await index.search(VECTORS[:1], limit=1, deadline_s=10)  # and the index still works
    assert found.index[0, 0] == 0


async def test_a_good_index_answers_a_ping(index: VectorIndex) -> None:
    await index.ping()


async def test_a_large_faiss_index_visits_some_lists_only_and_still_finds(tmp_path: Path) -> None:
    many = np.random.default_rng(5).normal(size=(MAX_FLAT + 1, 8)).astype(np.float32)
    write_faiss(tmp_path / "large.faiss", many)
    found = await FaissIndex(tmp_path / "large.faiss").search(many[:200], limit=10, deadline_s=10)
    truth = np.argsort(((many[:200, None] - many[None]) ** 2).sum(-1), axis=1)[:, :10]
    shared = [len(set(a) & set(b)) for a, b in zip(found.index.tolist(), truth.tolist(), strict=True)]
    assert found.index[:, 0].tolist() == list(range(200))
    assert np.mean(shared) > 8


async def test_a_milvus_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: nobody can answer
        missing = MilvusIndex(f"http://127.0.0.1:{taken.getsockname()[1]}", "none", content_ids=IDS)
        for ask in (missing.ping(), missing.search(VECTORS[:1], limit=1, deadline_s=0.5)):
            with pytest.raises(Unavailable, match="milvus"):
                await ask
        await missing.close()


async def test_a_collection_that_does_not_exist_is_unavailable(milvus_uri: str) -> None:
    index = MilvusIndex(milvus_uri, "never_made", content_ids=IDS)
    for ask in (index.ping(), index.search(VECTORS[:1], limit=1, deadline_s=5)):
        with pytest.raises(Unavailable, match="milvus"):
            await ask
    await index.close()


async def test_a_collection_that_the_server_forgot_to_load_is_loaded_by_a_ping(milvus_uri: str) -> None:
    name = f"released_{uuid4().hex}"
    MilvusStore(milvus_uri).build(name, IDS[:20], embeddings=VECTORS[:20], created_at=CREATED_AT[:20])
    with closing(MilvusClient(milvus_uri, dedicated=True)) as client:
        client.release_collection(name)
    index = MilvusIndex(milvus_uri, name, content_ids=IDS)
    with pytest.raises(Unavailable, match="milvus"):
        await index.search(VECTORS[:1], limit=1, deadline_s=5)
    async with asyncio.timeout(60):
        while not await _answers_a_ping(index):  # a server takes longer to load than a ping may
            pass
    assert (await index.search(VECTORS[:1], limit=1, deadline_s=5)).index.tolist() == [[0]]
    await index.close()


async def _answers_a_ping(index: MilvusIndex) -> bool:
    try:
        await index.ping()
    except Unavailable:
        await asyncio.sleep(0.1)
        return False
    return True


async def test_a_collection_is_built_again_aliased_and_dropped(milvus_uri: str) -> None:
    store = MilvusStore(milvus_uri)
    alias, first, second = (f"{name}_{uuid4().hex}" for name in ("alias", "first", "second"))
    store.build(first, IDS[:20], embeddings=VECTORS[:20], created_at=CREATED_AT[:20])
    store.build(second, IDS[50:53], embeddings=VECTORS[50:53], created_at=CREATED_AT[50:53])
    store.point(alias, first)
    store.point(alias, first)  # again: nothing changes
    assert await _reached(milvus_uri, alias) == set(range(20))
    assert await _reached(milvus_uri, alias, content_ids=IDS[15:]) == set(range(5))  # the rest is unknown to a release
    store.point(alias, second)
    assert await _reached(milvus_uri, alias) == {50, 51, 52}
    assert {first, second} <= set(store.collections())
    store.build(first, IDS[5:8], embeddings=VECTORS[5:8], created_at=CREATED_AT[5:8])
    assert await _reached(milvus_uri, first) == {5, 6, 7}
    with pytest.raises(Conflict, match=alias):
        store.drop(second)
    store.drop(first)
    store.drop(first)  # gone already: nothing happens
    assert first not in store.collections()


def test_what_cannot_be_built_or_pointed_at_is_refused(milvus_uri: str) -> None:
    store = MilvusStore(milvus_uri)
    with pytest.raises(InvalidInput, match="2 ids"):
        store.build("odd", IDS[:2], embeddings=VECTORS[:3], created_at=CREATED_AT[:3])
    with pytest.raises(NotFound, match="never_made"):
        store.point("alias", "never_made")


def test_a_store_without_a_server_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="milvus"):
        MilvusStore("http://127.0.0.1:9", timeout_s=1).collections()


async def _reached(uri: str, name: str, *, content_ids: Sequence[str] = IDS) -> set[int]:
    """Catalogue indices that any search over the collection can return."""
    index = MilvusIndex(uri, name, content_ids=content_ids)
    found = await index.search(VECTORS[:1], limit=NUM_ITEMS, deadline_s=10)
    await index.close()
    return set(found.index[found.index >= 0].tolist())
