"""The only place where jobs meet a Ray cluster: one they find, or one of their own."""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import psutil
import ray
from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module without stubs
from ray.data import DataContext, ExecutionResources
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from app.errors import Unavailable
from app.settings import PROCESS_ENVIRONMENT, Settings, load_settings, prepare_process

T = TypeVar("T")
P = ParamSpec("P")

MIN_LOCAL_CPUS = 2
"""A cluster of one's own offers at least these: CPUs are tickets here, and two training workers must fit."""

REACH_S = 10.0

_TOLD = {name: value for name, value in PROCESS_ENVIRONMENT.items() if name != "RAY_worker_niceness"}
"""What a cluster is told for our workers. A submitted job has its niceness of Ray, and may not be told it again."""

_KEPT: ContextVar[bool] = ContextVar("kept", default=False)


@contextmanager
def ray_session(settings: Settings) -> Iterator[None]:
    """A connection to Ray: the cluster at `settings.ray_address`, else a local one that ends with the session.

    Within a session that is open already (a pipeline's), nothing is started and nothing ended.
    Settings travel to workers as arguments, never through Ray: job descriptions are shown on its dashboard.
    Raises Unavailable: no cluster answers at the address.
    """
    if ray.is_initialized():
        yield
        return
    _connect(settings)
    try:
        _frugal(DataContext.get_current())
        for name in ("ray.data", "ray.train"):
            logging.getLogger(name).setLevel(logging.ERROR)
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a sweep tells of its failed trials itself
        yield
    finally:
        if not _KEPT.get():
            ray.shutdown()


def _frugal(context: DataContext) -> None:
    """Jobs show their own progress and name their own files; on one machine no more tasks run than it has cores.

    There CPUs are tickets, more than cores, and every task at once would start a worker of its own: seconds each.
    """
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.use_datasource_v2 = False  # it would list the files again, in tasks
    if len(ray.nodes()) == 1:
        cores = float(max(MIN_LOCAL_CPUS, psutil.cpu_count() or 1))
        context.execution_options.resource_limits = ExecutionResources(cpu=cores)


@contextmanager
def one_ray_session() -> Iterator[None]:
    """The first session opened within stays open for the next ones; none is started that nobody opens."""
    if _KEPT.get() or ray.is_initialized():
        yield
        return
    token = _KEPT.set(True)
    try:
        yield
    finally:
        _KEPT.reset(token)
        ray.shutdown()


def _connect(settings: Settings) -> None:
    prepare_process(settings=settings)
    if settings.ray_auth_token:
        Config.initialize("")  # what Ray read of the environment at import, it keeps until told
    address = settings.ray_address
    if address and address != "auto":  # a submitted job's: Ray knows where it runs
        reach(address)
    try:
        if address:
            # A cluster that others started may lack the variables; one of ours has them, and its workers are ready.
            foreign = load_settings(embedded=False).ray_address is not None
            environment = {"env_vars": _TOLD} if foreign else None
            ray.init(address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(
                "local",
                num_cpus=max(MIN_LOCAL_CPUS, psutil.cpu_count() or 1),
                include_dashboard=False,
                log_to_driver=False,  # what tasks raise comes back as errors; what they print is in Ray's logs
                logging_level=logging.ERROR,
            )
    except (ConnectionError, TimeoutError, RuntimeError) as exc:
        hint = "; is it up, and is LEARNREC_RAY_AUTH_TOKEN its token?" if address else ""
        raise Unavailable("ray", f"{address or 'a local cluster'}: {exc}{hint}") from exc


def reach(address: str) -> None:
    """Ray's own client tries for minutes where nothing listens. Raises Unavailable."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except (OSError, ValueError) as exc:
        raise Unavailable("ray", f"{address}: {exc}; `learnrec status` shows what runs") from exc


def _here() -> Any:  # Ray's own annotation knows strategies by their names only
    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)


def on_cluster(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `function` in a task of the cluster and wait for it; what it raises is raised here.

    The task holds no CPU ticket, so that what it starts itself (training workers) finds them all. It stays on the
    driver's node, which was chosen for jobs: without a ticket it might start beside replicas.
    """
    task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=_here())(function)
    return ray.get(task.remote(*args, **kwargs))


def while_busy(
    busy: Callable[[T], bool],
    function: Callable[Concatenate[str, P], T],
    keys: Iterable[str],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Iterator[T]:
    """What tasks return that run `function(key, …)`, one at a time for each key, again as long as one was `busy`.

    What a task raises is raised here, after the others under way have ended.
    """
    task = ray.remote(max_retries=0)(function)
    under_way = {task.remote(key, *args, **kwargs): key for key in keys}
    try:
        while under_way:
            (done,), _ = ray.wait(list(under_way))
            key, result = under_way.pop(done), ray.get(done)
            if busy(result):
                under_way[task.remote(key, *args, **kwargs)] = key
            yield result
    finally:
        if under_way:
            ray.wait(list(under_way), num_returns=len(under_way))


def free_cpus() -> tuple[int, int]:
    """CPU tickets that nothing holds now, and how many tasks at once are worth starting on these machines."""
    cores = max(MIN_LOCAL_CPUS, psutil.cpu_count() or 1)
    tickets = int(ray.cluster_resources().get("CPU", 0))
    return int(ray.available_resources().get("CPU", 0)), min(tickets, cores) if len(ray.nodes()) == 1 else tickets


class Shared(Generic[T]):
    """A value in the object store, for all tasks to read; a worker keeps the ones it read last."""

    def __init__(self, value: T) -> None:
        self._reference = ray.put(value)

    @classmethod
    def made_by(cls, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "Shared[T]":
        """What `function` returns from a task of the cluster, kept there; what it raises is raised here."""
        shared: Shared[T] = cls.__new__(cls)
        shared._reference = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=_here())(function).remote(
            *args, **kwargs
        )
        ray.get(shared._reference)
        return shared

    def get(self) -> T:
        return _value_of(self._reference)


@lru_cache(maxsize=2)
def _value_of(reference: ray.ObjectRef) -> Any:
    return ray.get(reference)
