"""What is noted of every request when it has been answered: counts, its span where it is traced, a line where slow."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from opentelemetry.trace import Span, StatusCode, format_trace_id
from starlette.types import Scope

from app.adapters.keyring import load_keyring
from app.adapters.tracing import TRACEPARENT, Tracing, traceparent_of
from app.domain.pseudonyms import PseudonymKey
from app.recommend.batch import Outcome
from app.serving.json_log import SAID_OF
from app.serving.metrics import Metrics
from app.serving.question import Answer
from app.settings import Settings

MAX_SLOW_PER_S = 10
"""Lines; where everything is slow, they would only add to it."""

_LOG = logging.getLogger(__name__)
_TRACEPARENT = TRACEPARENT.encode()


@dataclass(slots=True)
class SlowRequests:
    """A line of each, at most so many a second; the next one says how many were left out."""

    threshold_s: float
    key: PseudonymKey  # learners go by pseudonyms
    clock: Callable[[], float] = time.monotonic
    _second: int = 0
    _told: int = 0
    _left_out: int = field(default=0)

    @classmethod
    def of(cls, settings: Settings) -> "SlowRequests":
        return cls(settings.slow_request_ms / 1000, load_keyring(settings).current)

    def tell(self, scope: Scope, *, method: str, route: str, status: int, seconds: float) -> None:
        if not self._may():
            self._left_out += 1
            return
        answer: Answer | None = scope.get("answer")
        said = {
            "request_id": scope["request_id"],
            "trace_id": _trace_id(scope.get("span")),
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
            "left_out": self._left_out,
        }
        if answer is not None:
            slate = answer.slate
            said |= {"stages_ms": answer.timings_ms, "served_by": slate.served_by, "degraded": slate.degraded}
            said |= {"release": slate.release, "learner": self.key.of(slate.user_id)}
        self._left_out = 0
        _LOG.warning("slow request", extra=said)

    def _may(self) -> bool:
        second = int(self.clock())
        if second != self._second:
            self._second, self._told = second, 0
        self._told += 1
        return self._told <= MAX_SLOW_PER_S


class Observer:
    """Of one ingress replica."""

    def __init__(self, metrics: Metrics, tracing: Tracing, slow: SlowRequests) -> None:
        self._metrics, self._tracing, self._slow = metrics, tracing, slow

    def begin(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Needs the scope's request_id; gives it its span. Headers for the answer."""
        span = self._tracing.request(_traceparent(scope)) if self._tracing.on else None
        scope["span"] = span
        SAID_OF.set({"request_id": scope["request_id"], "trace_id": _trace_id(span)})
        return [(b"traceresponse", (traceparent_of(span) or "").encode())] if span else []

    def end(self, scope: Scope, *, method: str, route: str, status: int, seconds: float) -> None:
        self._metrics.answered(method=method, route=route, status=status, seconds=seconds)
        if seconds >= self._slow.threshold_s:
            self._slow.tell(scope, method=method, route=route, status=status, seconds=seconds)
        span: Span | None = scope["span"]
        if span is not None:
            span.update_name(f"{method} {route}")
            span.set_attributes(
                {
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "learnrec.request_id": scope["request_id"],
                }
            )
            if status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end()


def describe(span: Span, outcome: Outcome) -> None:
    """The batch behind a span: what it held, what it lacked, and the milliseconds of what has no span of its own."""
    slates = outcome.slates
    lacking = sorted({f"{fault.stage}: {fault.cause}" for fault in outcome.faults})
    span.set_attributes({"learnrec.batch_size": len(slates), "learnrec.release": slates[0].release or "none"})
    span.set_attribute("learnrec.faults", lacking)
    for stage, milliseconds in outcome.timings_ms.items():
        span.set_attribute(f"learnrec.{stage}_ms", milliseconds)


def _traceparent(scope: Scope) -> str | None:
    given = next((value for name, value in scope["headers"] if name == _TRACEPARENT), None)
    return given.decode("latin-1") if given else None


def _trace_id(span: Span | None) -> str | None:
    return format_trace_id(span.get_span_context().trace_id) if span else None
