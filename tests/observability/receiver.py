"""A receiver of OTLP over HTTP, that keeps the spans it is sent."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Received:
    """A span, and the service that made it."""

    service: str
    span: Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def links(self) -> set[str]:
        """Ids of the spans that it links to."""
        return {link.span_id.hex() for link in self.span.links}

    @property
    def attributes(self) -> dict[str, str]:
        return {one.key: str(one.value).strip() for one in self.span.attributes}


@dataclass
class Receiver:
    """What has arrived so far."""

    port: int = 0
    _spans: list[Received] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self, trace: str | None = None) -> list[Received]:
        with self._lock:
            return [span for span in self._spans if trace in (None, span.trace)]

    def take(self, body: bytes) -> None:
        said = ExportTraceServiceRequest.FromString(body)
        found: list[Received] = []
        for resource in said.resource_spans:
            names = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            found += [Received(names[0], span) for scope in resource.scope_spans for span in scope.spans]
        with self._lock:
            self._spans += found


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server looks for
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            assert self.headers["Content-Type"] == "application/x-protobuf"
            receiver.take(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
            """Nothing: tests speak for themselves."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_port
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()
