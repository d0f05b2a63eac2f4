"""The only place where jobs meet a Ray cluster: one they find, or one of their own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import ray
from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module without stubs
from ray.data import DataContext

from app.errors import Unavailable
from app.settings import PROCESS_ENVIRONMENT, Settings, prepare_process

MIN_LOCAL_CPUS = 2
"""A cluster of one's own offers at least these: a training worker and the task that feeds it must fit side by side."""


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
    _authenticate(settings)
    address = settings.ray_address
    try:
        ray.init(
            address=address or "local",
            num_cpus=None if address else max(MIN_LOCAL_CPUS, psutil.cpu_count() or 1),
            include_dashboard=None if address else False,
            runtime_env={"env_vars": PROCESS_ENVIRONMENT},
            log_to_driver=False,  # what workers raise comes back as errors; what they print is in Ray's logs
            logging_level=logging.ERROR,
        )
    except (ConnectionError, TimeoutError, RuntimeError) as exc:
        hint = "; is it up, and is LEARNREC_RAY_AUTH_TOKEN its token?" if address else ""
        raise Unavailable("ray", f"{address or 'a local cluster'}: {exc}{hint}") from exc
    try:
        quiet = DataContext.get_current()
        quiet.enable_progress_bars = False  # jobs show their own progress
        quiet.print_on_execution_start = False
        yield
    finally:
        ray.shutdown()


def _authenticate(settings: Settings) -> None:
    """Ray takes its token from the environment only, and what it read there at import it keeps until told."""
    environment = prepare_process()
    if settings.ray_auth_token:
        environment["RAY_AUTH_MODE"] = "token"
        environment["RAY_AUTH_TOKEN"] = settings.ray_auth_token.get_secret_value()
        Config.initialize("")
