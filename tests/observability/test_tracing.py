"""Traces of one process, against a real receiver; and what they cost where there are none."""

import asyncio
import time
from contextlib import nullcontext

import pytest
from opentelemetry import trace

from app.adapters.tracing import OFF, Tracing, current_traceparent, traceparent_of
from tests.observability.receiver import receiving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_without_an_endpoint_nothing_is_ever_made() -> None:
    assert not OFF.on
    assert OFF.request(f"00-{TRACE}-{SPAN}-01") is None
    parts = [OFF.batch("b", [None]), OFF.child("c"), OFF.asked("r", f"00-{TRACE}-{SPAN}-01"), OFF.consumed("q", [])]
    assert all(type(part) is nullcontext for part in parts)
    assert current_traceparent() is None


def test_the_sender_decides_and_else_chance_does() -> None:
    with receiving() as receiver:
        never, always = (Tracing(receiver.url, service="s", ratio=ratio) for ratio in (0.0, 1.0))
        assert never.request(None) is None
        assert always.request(None) is not None
        assert never.request(f"00-{TRACE}-{SPAN}-01") is not None
        assert always.request(f"00-{TRACE}-{SPAN}-00") is None
        some = Tracing(receiver.url, service="s", ratio=0.05)
        sampled = sum(some.request(None) is not None for _ in range(4_000))
        assert 0.03 * 4_000 < sampled < 0.075 * 4_000
        for tracing in (never, always, some):
            tracing.close()


@pytest.mark.parametrize(
    "header", ["", "00", f"00-{TRACE}-{SPAN}", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01", "ü" * 55]
)
def test_a_header_that_is_none_is_as_if_it_were_not_there(header: str) -> None:
    with receiving() as receiver:
        tracing = Tracing(receiver.url, service="s", ratio=1.0)
        span = tracing.request(header)
        assert span is not None
        assert trace.format_trace_id(span.get_span_context().trace_id) != TRACE
        assert type(tracing.asked("r", header)) is nullcontext
        tracing.close()


def test_a_batch_is_of_the_first_trace_and_linked_with_all() -> None:
    with receiving() as receiver:
        tracing = Tracing(receiver.url, service="s", ratio=1.0)
        first, second = tracing.request(None), tracing.request(None)
        assert first is not None
        assert second is not None
        with tracing.batch("together", [None, first, second]), tracing.child("part") as part:
            carried = current_traceparent()
        assert carried == traceparent_of(part)
        with tracing.asked("elsewhere", carried):
            pass
        for span in (first, second):
            span.end()
        tracing.close()
        spans = {span.name: span for span in receiver.spans()}
        requests = [span for span in receiver.spans() if span.name == "request"]
        assert spans["together"].links == {span.id for span in requests}
        above = next(span for span in requests if span.id == spans["together"].parent)
        (other,) = (span for span in requests if span is not above)
        assert other.links == {spans["together"].id}
        assert (spans["part"].parent, spans["elsewhere"].parent) == (spans["together"].id, spans["part"].id)


def test_what_is_sampled_does_not_leak_into_tasks_beside_it() -> None:
    async def run() -> list[str | None]:
        with receiving() as receiver:
            tracing = Tracing(receiver.url, service="s", ratio=1.0)

            async def told() -> str | None:
                with tracing.child("part"):
                    return current_traceparent()

            beside = asyncio.create_task(told())
            with tracing.batch("together", [tracing.request(None)]):
                inside = await told()
            seen = [inside, await beside, await told()]
            tracing.close()
            return seen

    inside, beside, after = asyncio.run(run())
    assert inside is not None
    assert (beside, after) == (None, None)


def test_a_receiver_that_is_away_costs_nobody_an_error() -> None:
    tracing = Tracing("http://127.0.0.1:9", service="s", ratio=1.0)
    span = tracing.request(None)
    assert span is not None
    began = time.monotonic()
    span.end()
    assert time.monotonic() - began < 0.1
    tracing.close()
    assert time.monotonic() - began < 10
