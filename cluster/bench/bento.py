"""The rival that the project's first design named: BentoML serves the two models behind a FastAPI gateway.

The gateway is our own application, request by request; batches form where BentoML forms them, in front of each model.
`bentoml serve cluster.bench.bento:Gateway`, in the environment of a stack, runs the three as processes of their own.
"""

from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import bentoml
import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from app.adapters.faiss_index import FaissIndex
from app.adapters.keyring import load_keyring
from app.adapters.mlflow_registry import MlflowRegistry
from app.adapters.object_store import ObjectStore
from app.adapters.release_files import fetch_release
from app.domain.learners import Learners
from app.domain.releases import PRODUCTION
from app.domain.slates import Candidates
from app.errors import NotFound, Unavailable
from app.models.release import Release, load_release
from app.recommend.stages import Retrieved
from app.serving.arguments import GraphArguments
from app.serving.calls import Stage
from app.serving.http import build_app
from app.serving.service import Service
from app.serving.stage import StageStatus
from app.settings import load_settings, prepare_process
from cluster.bench.packing import pack_learners, pack_question, unpack_learners, unpack_question

prepare_process()
MAX_BATCH, MAX_LATENCY_MS = 64, 200
QUIET: Any = {"logging": {"access": {"enabled": False}}, "metrics": {"enabled": False}}
ONE_BY_ONE = GraphArguments.model_validate({"max_batch": 1, "max_in_flight": 64, "wait_ms": 0})


@cache
def release() -> Release:
    """What is in production; nothing is promoted while a benchmark runs. Raises NotFound: nothing is in production."""
    settings = load_settings()
    registry = MlflowRegistry(settings.need("mlflow_uri"))
    found = registry.aliased(PRODUCTION)
    registry.close()
    if found is None:
        raise NotFound("no release is in production: run the pipeline with `--set promote=true`")
    store = ObjectStore(settings.object_store_uri)
    return load_release(fetch_release(store, found, settings.var_dir / "releases"), load_keyring(settings))


@cache
def index() -> FaissIndex:
    """In the gateway itself."""
    return FaissIndex(release().faiss_path)


@bentoml.service(name="towers", **QUIET)
class Towers:
    def __init__(self) -> None:
        self._tower = release().user_tower()
        self._tower.warm_up(MAX_BATCH)

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=MAX_LATENCY_MS)
    def embed(self, packed: np.ndarray) -> np.ndarray:
        return self._tower.embed(unpack_learners(packed))


@bentoml.service(name="rankers", **QUIET)
class Rankers:
    def __init__(self) -> None:
        self._ranker, self._items = release().ranker(), release().items

    @bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=MAX_LATENCY_MS)
    def score(self, packed: np.ndarray) -> np.ndarray:
        learners, embeddings, candidates = unpack_question(packed, dim=release().manifest.embedding_dim)
        return self._ranker.score(learners, embeddings, candidates, items=self._items)


class _Other(Stage):
    """Something else where the graph has a deployment."""

    def __init__(self, name: str, answer: Callable[..., Awaitable[Any]]) -> None:
        self.name, self._answer = name, answer

    @override
    async def call(self, method: str, release_id: str, *arguments: Any, deadline_s: float) -> Any:
        try:
            return await self._answer(*arguments)
        except Exception as exc:
            raise Unavailable(self.name, type(exc).__name__) from exc

    @override
    async def everywhere(self, method: str, *, deadline_s: float) -> list[Any]:
        return [StageStatus((release().release_id,), {})]


_PROXIES: dict[str, Any] = {}
"""BentoML's clients of the models, there once the gateway is made."""


async def _embed(learners: Learners) -> Any:
    return await _PROXIES["towers"].to_async.embed(pack_learners(learners))


async def _score(learners: Learners, embeddings: NDArray[np.float32], candidates: Candidates) -> Any:
    scores = await _PROXIES["rankers"].to_async.score(pack_question(learners, embeddings, candidates))
    return scores.astype(np.float32)


async def _search(queries: NDArray[np.float32], limit: int, deadline_s: float) -> Any:
    return Retrieved(await index().search(queries, limit=limit, deadline_s=deadline_s))


def _app() -> Any:
    stages = {"embedder": _embed, "retriever": _search, "ranker": _score}
    others = {name: _Other(name, answer) for name, answer in stages.items()}
    return build_app(Service(load_settings(), ONE_BY_ONE, **others))


@bentoml.asgi_app(_app(), path="/")
@bentoml.service(name="gateway", **QUIET)
class Gateway:
    towers = bentoml.depends(Towers)
    rankers = bentoml.depends(Rankers)

    def __init__(self) -> None:
        _PROXIES.update(towers=self.towers, rankers=self.rankers)
        index()
