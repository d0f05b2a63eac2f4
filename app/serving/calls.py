"""Calls between deployments: the only place with `.remote(`.

Arrays travel as pickled buffers over gRPC, by value: a call costs the same whatever it carries, and the object store
would cost more. What a stage does wrong arrives as Unavailable, so that the answer can degrade and say so.
"""

import asyncio
import logging
from typing import Any

from ray.exceptions import RayError
from ray.serve import get_replica_context
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from app.adapters.tracing import current_traceparent
from app.errors import DeadlineExceeded, LearnrecError, Unavailable

_LOG = logging.getLogger(__name__)


def replica_id() -> str:
    """Of the replica that this process is."""
    return get_replica_context().replica_id.unique_id


class MissingRelease(Unavailable):
    """The replica does not hold the release that was asked for."""

    cause = "release"


class Stage:
    """One deployment as its callers see it. Every method takes the release id first, and answers None without it."""

    def __init__(self, name: str, handle: DeploymentHandle) -> None:
        self.name = name
        self._handle = handle.options(
            _by_reference=False, request_serialization="pickle", response_serialization="pickle"
        )

    async def call(self, method: str, release_id: str, *arguments: Any, deadline_s: float) -> Any:
        """Raises DeadlineExceeded, MissingRelease, or Unavailable for whatever else went wrong."""
        traced = {"trace": trace} if (trace := current_traceparent()) else {}
        response = getattr(self._handle, method).remote(release_id, *arguments, **traced)
        try:
            async with asyncio.timeout(deadline_s):
                answer = await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except TimeoutError as exc:
            response.cancel()
            raise DeadlineExceeded(self.name, f"no answer within {deadline_s * 1000:.0f} ms") from exc
        except LearnrecError as exc:
            raise Unavailable(self.name, str(exc)) from exc
        except (RayError, RayServeException) as exc:
            _LOG.warning("%s failed: %s", self.name, exc)
            raise Unavailable(self.name, type(exc).__name__) from exc
        except Exception as exc:
            _LOG.exception("%s failed", self.name)
            raise Unavailable(self.name, type(exc).__name__) from exc
        if answer is None:
            raise MissingRelease(self.name, f"release {release_id} is not loaded yet")
        return answer

    async def everywhere(self, method: str, *, deadline_s: float) -> list[Any]:
        """The answers of all replicas; control plane only. Raises Unavailable: none there, or one does not answer."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._handle.broadcast(method).results_async()
        except Exception as exc:
            raise Unavailable(self.name, str(exc) or type(exc).__name__) from exc
