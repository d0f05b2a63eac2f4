"""Traces, by OpenTelemetry over OTLP: spans of the few requests that are sampled, and nothing at all of the others.

Whether a request is sampled is decided before anything is made for it: by the caller, whose `traceparent` (W3C) says
so, else by chance. Requests that travel in one batch share its span: it belongs to the trace of the first that is
sampled, and links to the others, whose own spans link to it.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from app.settings import Settings

TRACEPARENT = "traceparent"
EXPORT_EVERY_MS = 1_000
MAX_LINKS = 128
_NOTHING = nullcontext()
_W3C = TraceContextTextMapPropagator()

Attributes = Mapping[str, AttributeValue]


class Tracing:
    """Of one process. Without an endpoint every method answers at once, and has made nothing."""

    def __init__(self, endpoint: str | None, *, service: str, ratio: float = 0.0) -> None:
        """`endpoint`: http://host:4318; `ratio`: the share of requests that nobody has decided on yet."""
        self._ratio = ratio
        self._provider = _provider(endpoint, service) if endpoint else None
        self._tracer = self._provider.get_tracer("learnrec") if self._provider else None

    @classmethod
    def of(cls, settings: Settings, *, service: str) -> "Tracing":
        return cls(settings.otlp_endpoint, service=service, ratio=settings.trace_ratio)

    @property
    def on(self) -> bool:
        return self._tracer is not None

    def close(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._provider.shutdown()

    def request(self, traceparent: str | None) -> Span | None:
        """The span of a request that came in, to be ended by who asked for it; None where it is not sampled."""
        if self._tracer is None:
            return None
        caller = _context_of(traceparent) if traceparent else None
        if not (caller.trace_flags.sampled if caller else random.random() < self._ratio):  # noqa: S311  # no secret
            return None
        return self._tracer.start_span("request", context=_under(caller), kind=SpanKind.SERVER)

    def batch(self, name: str, spans: Iterable[Span | None]) -> AbstractContextManager[Span | None]:
        """What is done for the requests of these spans together."""
        sampled = [span for span in spans if span is not None] if self._tracer else ()
        return self._together(name, sampled) if sampled else _NOTHING

    def child(
        self, name: str, *, kind: SpanKind = SpanKind.INTERNAL, attributes: Attributes | None = None
    ) -> AbstractContextManager[Span | None]:
        """A part of what is being done, where that is traced."""
        if self._tracer is None or not trace.get_current_span().is_recording():
            return _NOTHING
        return self._tracer.start_as_current_span(name, kind=kind, attributes=attributes)

    def asked(self, name: str, traceparent: str | None) -> AbstractContextManager[Span | None]:
        """What another process, which traces, asked for."""
        caller = _context_of(traceparent) if self._tracer and traceparent else None
        if self._tracer is None or caller is None:
            return _NOTHING
        return self._tracer.start_as_current_span(name, context=_under(caller), kind=SpanKind.SERVER)

    def consumed(self, name: str, traceparents: Sequence[str]) -> AbstractContextManager[Span | None]:
        """What is done with entries of a log together, some of which are of traces."""
        callers = [_context_of(one) for one in traceparents[:MAX_LINKS]] if self._tracer else []
        known = [caller for caller in callers if caller is not None]
        if self._tracer is None or not known:
            return _NOTHING
        links = [Link(caller) for caller in known]
        return self._tracer.start_as_current_span(name, context=_under(known[0]), kind=SpanKind.CONSUMER, links=links)

    @contextmanager
    def _together(self, name: str, spans: Sequence[Span]) -> Iterator[Span]:
        assert self._tracer is not None
        contexts = [span.get_span_context() for span in spans[:MAX_LINKS]]
        links = [Link(context) for context in contexts]
        with self._tracer.start_as_current_span(name, context=_under(contexts[0]), links=links) as made:
            for span in spans[1:]:
                span.add_link(made.get_span_context())
            yield made


OFF = Tracing(None, service="")
"""For what works without."""


def traceparent_of(span: Span | None) -> str | None:
    """What W3C calls the header that carries the span to others; None of none."""
    if span is None:
        return None
    context = span.get_span_context()
    return f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}-01"


def current_traceparent() -> str | None:
    """Of what is being done, where that is traced."""
    span = trace.get_current_span()
    return traceparent_of(span) if span.is_recording() else None


def _context_of(traceparent: str) -> SpanContext | None:
    """None where it is none."""
    found = trace.get_current_span(_W3C.extract({TRACEPARENT: traceparent})).get_span_context()
    return found if found.is_valid else None


def _under(caller: SpanContext | None) -> Context:
    """The context of a span beneath the caller's; the root's of none, whatever is being done around it."""
    empty = Context()
    return empty if caller is None else trace.set_span_in_context(trace.NonRecordingSpan(caller), empty)


def _provider(endpoint: str, service: str) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # for those who trace

    provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_EVERY_MS))
    return provider
