"""The ways to serve one release that a benchmark compares: ours on each index, and two rivals."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from app.errors import InvalidInput
from app.settings import environment_for
from cluster.bench.bento_engine import BentoEngine, require_bento
from cluster.bench.served import Served
from cluster.stack.engine import Engine
from cluster.stack.engines.milvus_server import MilvusServerEngine
from cluster.stack.ports import free_ports
from cluster.stack.running import alone

FAISS = {"LEARNREC_RETRIEVAL_BACKEND": "faiss"}
MILVUS = {"LEARNREC_RETRIEVAL_BACKEND": "milvus"}
PLAIN_SERVE = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "0", "RAY_SERVE_ENABLE_HA_PROXY": "0"}
ONE_BY_ONE = {"max_batch": 1, "max_in_flight": 64, "wait_ms": 0}


@dataclass(frozen=True, slots=True)
class Way:
    """`opened(made)` serves the release of `made` while it lasts."""

    name: str
    opened: Callable[[Served], AbstractContextManager[Served]]
    require: Callable[[], object] = lambda: None  # raises NotFound: something is not installed


@contextmanager
def _graph(made: Served, *, environment: dict[str, str], arguments: dict[str, Any] | None = None) -> Iterator[Served]:
    served = made.otherwise(environment)
    served.serve(arguments or {})
    yield served
    served.learnrec("down")


@contextmanager
def _on_milvus_server(made: Served) -> Iterator[Served]:
    """The index is built in the server first, by the job that always does."""
    with _beside(made, MilvusServerEngine) as engine:
        environment = {**MILVUS, "LEARNREC_MILVUS_URI": engine.address}
        made.otherwise(environment).learnrec("up", "--no-serve")
        made.otherwise(environment).learnrec("job", "run", "build_index")
        with _graph(made, environment=environment) as served:
            yield served


@contextmanager
def _bento(made: Served) -> Iterator[Served]:
    served = made.otherwise(FAISS)
    served.learnrec("up", "--no-serve")
    with _beside(served, BentoEngine) as engine:
        yield served.otherwise({}, address=engine.address)
    served.learnrec("down")


@contextmanager
def _beside(made: Served, kind: type[Engine]) -> Iterator[Engine]:
    """An engine that `up` does not know, counted with the stack's processes."""
    engine = kind(home=made.var_dir / kind.name, port=free_ports(1)[0])
    environment = {**environment_for(made.var_dir), **made.environment}
    log = made.var_dir / f"{kind.name}.log"
    with alone(engine, stack=str(made.var_dir), environment=environment, log=log):
        yield engine


WAYS = (
    Way("FAISS", partial(_graph, environment=FAISS)),
    Way("Milvus Lite", partial(_graph, environment=MILVUS)),
    Way("Milvus 2.3", _on_milvus_server),
    # The same stages as a textbook's graph: every request a call of its own to each stage, Serve's default proxy.
    Way("naive, FAISS", partial(_graph, environment={**FAISS, **PLAIN_SERVE}, arguments=ONE_BY_ONE)),
    # The same stages as models behind BentoML's batching, and a gateway that asks them request by request.
    Way("BentoML, FAISS", _bento, require_bento),
)
OURS, RIVALS = WAYS[0].name, tuple(way.name for way in WAYS[3:])


def ways_named(names: Sequence[str] | None) -> tuple[Way, ...]:
    """All without names. Raises InvalidInput: no such way."""
    known = {way.name: way for way in WAYS}
    if wrong := set(names or ()) - known.keys():
        raise InvalidInput(f"no way {', '.join(sorted(wrong))}: there are {', '.join(known)}")
    return tuple(way for way in WAYS if not names or way.name in names)
