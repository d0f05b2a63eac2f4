"""VectorIndex over a FAISS file: the fallback beside every Milvus, and the primary where configured.

Up to MAX_FLAT vectors the search is exact; beyond, inverted lists keep the time of a query nearly level.
"""

import asyncio
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from app.errors import DeadlineExceeded, InvalidInput, Unavailable
from app.ports.vector_index import Neighbours

MAX_FLAT = 50_000
"""An exact scan of this many vectors of 128 floats costs about 3 ms a query on one slow core."""

NPROBE_SHARE, MIN_NPROBE = 32, 16
"""One list in so many is visited, at least MIN_NPROBE: 1.2 ms a query among a million vectors."""


def write_faiss(path: Path, embeddings: NDArray[np.float32]) -> None:
    """Write an index of `[n, dim]`, row i answering as i; the file appears whole or not at all."""
    vectors = np.ascontiguousarray(embeddings, np.float32)
    if vectors.ndim != 2 or not len(vectors):
        raise InvalidInput(f"embeddings have shape {embeddings.shape}: give [n, dim] with n ≥ 1")
    index = _empty_index(*vectors.shape)
    index.train(vectors)
    index.add(vectors)
    _write(index, path)


def extend_faiss(path: Path, embeddings: NDArray[np.float32], *, out: Path) -> None:
    """Write the index at `path` with `[n, dim]` more behind its own; lists stay where they were trained."""
    index = faiss.read_index(str(path))
    index.add(np.ascontiguousarray(embeddings, np.float32))
    _write(index, out)


def _write(index: Any, path: Path) -> None:
    partial = path.with_name(path.name + ".partial")
    faiss.write_index(index, str(partial))
    partial.replace(path)


def _empty_index(num_vectors: int, dim: int) -> Any:  # FAISS's classes are generated: no types to speak of
    if num_vectors <= MAX_FLAT:
        return faiss.IndexFlatL2(dim)
    num_lists = int(2 * np.sqrt(num_vectors))
    index: Any = faiss.index_factory(dim, f"IVF{num_lists},Flat", faiss.METRIC_L2)
    index.cp.max_points_per_centroid = 64  # k-means on a sample: minutes become seconds at a million vectors
    return index


class FaissIndex:
    """One file, memory-mapped; searches run on a thread, without the interpreter's lock."""

    def __init__(self, path: Path) -> None:
        try:
            self._index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        except RuntimeError as exc:
            raise Unavailable("faiss", f"{path} is no FAISS index") from exc
        if hasattr(self._index, "nlist"):
            self._index.nprobe = max(MIN_NPROBE, self._index.nlist // NPROBE_SHARE)
        faiss.omp_set_num_threads(1)

    async def search(self, queries: NDArray[np.float32], *, limit: int, deadline_s: float) -> Neighbours:
        try:
            async with asyncio.timeout(deadline_s):
                return await asyncio.to_thread(self.search_now, queries, limit)
        except TimeoutError as exc:
            raise DeadlineExceeded("faiss", f"no answer within {deadline_s * 1000:.0f} ms") from exc

    def search_now(self, queries: NDArray[np.float32], limit: int) -> Neighbours:
        """The same without a deadline, on the calling thread. `queries` `[B, dim]`."""
        num_found = min(limit, self._index.ntotal)
        index = np.full((len(queries), limit), -1, np.int32)
        distance = np.full((len(queries), limit), np.inf, np.float32)
        if len(queries):
            found = self._index.search(np.ascontiguousarray(queries, np.float32), num_found)
            distance[:, :num_found], index[:, :num_found] = found
        distance[index < 0] = np.inf
        return Neighbours(index, distance)

    async def ping(self) -> None:
        if not self._index.ntotal:
            raise Unavailable("faiss", "the index holds no vector")
