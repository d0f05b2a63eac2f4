"""VectorStore on Milvus: one collection a release, and the alias that names the live one."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from app.adapters.milvus_index import KEY, NUM_LISTS, VECTOR, search_params
from app.errors import Conflict, InvalidInput, NotFound, Unavailable

BATCH = 1_000
TIMEOUT_S = 30.0


class MilvusStore:
    """Opens a connection a call: jobs call it a few times an hour."""

    def __init__(self, uri: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._uri = uri
        self._timeout_s = timeout_s

    def build(
        self,
        collection: str,
        content_ids: Sequence[str],
        *,
        embeddings: NDArray[np.float32],
        created_at: NDArray[np.int64],
    ) -> None:
        """Also raises InvalidInput (lengths differ), Conflict (the smoke query does not find its own vector)."""
        if not len(content_ids) or not len(content_ids) == len(embeddings) == len(created_at):
            raise InvalidInput(
                f"{len(content_ids)} ids, {len(embeddings)} embeddings and {len(created_at)} times: "
                "give the same number of each, at least one"
            )
        with self._client() as client:
            if client.has_collection(collection, timeout=TIMEOUT_S):
                _release_aliases(client, collection)
                client.drop_collection(collection, timeout=TIMEOUT_S)
            _create(client, collection, embeddings.shape[1])
            for rows in _batches(content_ids, embeddings, created_at):
                client.insert(collection, rows, timeout=TIMEOUT_S)
            client.flush(collection, timeout=TIMEOUT_S)
            _index_and_load(client, collection)
            _smoke(client, collection, content_ids[0], query=embeddings[0])

    def add(
        self,
        collection: str,
        content_ids: Sequence[str],
        *,
        embeddings: NDArray[np.float32],
        created_at: NDArray[np.int64],
    ) -> None:
        """Also raises NotFound: no such collection."""
        with self._client() as client:
            if not client.has_collection(collection, timeout=TIMEOUT_S):
                raise NotFound(f"there is no collection {collection}: run build_index")
            for rows in _batches(content_ids, embeddings, created_at):
                client.upsert(collection, rows, timeout=TIMEOUT_S)

    def point(self, alias: str, collection: str) -> None:
        """Also raises NotFound: no such collection. The alias stands for one or the other at every moment."""
        with self._client() as client:
            if not client.has_collection(collection, timeout=TIMEOUT_S):
                raise NotFound(f"there is no collection {collection}: run build_index, or name one of them")
            if _alias_exists(client, alias):
                client.alter_alias(collection, alias, timeout=TIMEOUT_S)
            else:
                client.create_alias(collection, alias, timeout=TIMEOUT_S)

    def collections(self) -> tuple[str, ...]:
        with self._client() as client:
            return tuple(sorted(_collections(client)))

    def drop(self, collection: str) -> None:
        """Also raises Conflict: an alias stands for it. Nothing happens where there is no such collection."""
        with self._client() as client:
            if not client.has_collection(collection, timeout=TIMEOUT_S):
                return
            if aliases := _aliases_of(client, collection):
                raise Conflict(f"{collection} is live under {', '.join(aliases)}: point them elsewhere first")
            client.drop_collection(collection, timeout=TIMEOUT_S)

    @contextmanager
    def _client(self) -> Iterator[MilvusClient]:
        try:
            with closing(MilvusClient(self._uri, timeout=self._timeout_s, dedicated=True)) as client:
                yield client
        except (MilvusException, OSError) as exc:
            raise Unavailable("milvus", str(exc)) from exc


def _create(client: MilvusClient, collection: str, dim: int) -> None:
    schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
    schema.add_field(KEY, DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field("created_at", DataType.INT64)
    client.create_collection(collection, schema=schema, timeout=TIMEOUT_S)


def _batches(
    content_ids: Sequence[str], embeddings: NDArray[np.float32], created_at: NDArray[np.int64]
) -> Iterator[list[dict[str, object]]]:
    """Rows of a collection, BATCH at a time."""
    for start in range(0, len(content_ids), BATCH):
        part = slice(start, start + BATCH)
        vectors = np.asarray(embeddings[part], np.float32)
        yield [
            {KEY: key, VECTOR: vector, "created_at": int(created)}
            for key, vector, created in zip(content_ids[part], vectors, created_at[part], strict=True)
        ]


def _index_and_load(client: MilvusClient, collection: str) -> None:
    params = client.prepare_index_params()
    params.add_index(VECTOR, index_type="IVF_FLAT", metric_type="L2", params={"nlist": NUM_LISTS})
    client.create_index(collection, params, timeout=TIMEOUT_S)
    client.load_collection(collection, timeout=TIMEOUT_S)


def _smoke(client: MilvusClient, collection: str, content_id: str, *, query: NDArray[np.float32]) -> None:
    """The first vector must be found at distance 0, under its own key or that of an equal vector."""
    found = client.search(
        collection,
        data=[np.asarray(query, np.float32)],
        anns_field=VECTOR,
        limit=10,
        search_params=search_params(1, 10),
        timeout=TIMEOUT_S,
        consistency_level="Strong",
    )
    nearest = found[0][0] if found and len(found[0]) else None
    if nearest is None or abs(nearest["distance"]) > 1e-3:
        raise Conflict(f"collection {collection} does not find {content_id} by its own vector: build it again")


def _alias_exists(client: MilvusClient, alias: str) -> bool:
    return any(alias in _aliases_of(client, name) for name in _collections(client))


def _collections(client: MilvusClient) -> list[str]:
    return cast(list[str], client.list_collections(timeout=TIMEOUT_S))  # typed for sync and async clients at once


def _aliases_of(client: MilvusClient, collection: str) -> list[str]:
    found = cast(dict[str, list[str]], client.list_aliases(collection, timeout=TIMEOUT_S))  # typed as a list upstream
    return found.get("aliases", [])


def _release_aliases(client: MilvusClient, collection: str) -> None:
    """Milvus does not drop a collection under an alias; one that is made anew is not served yet."""
    for alias in _aliases_of(client, collection):
        client.drop_alias(alias, timeout=TIMEOUT_S)
