"""Traces of the running service, as a real receiver of OTLP has them."""

import asyncio
import secrets

import httpx
import pytest

from jobs.ingest_events import Spec, run
from tests.observability.receiver import Received
from tests.serving.conftest import House
from tests.serving.waiting import until

OF_A_REQUEST = {
    "GET /recommend/{user_id}": "learnrec-ingress",
    "recommend": "learnrec-ingress",
    "postgres": "learnrec-ingress",
    "redis": "learnrec-ingress",
    "embedder": "learnrec-ingress",
    "embed": "learnrec-embedder",
    "retriever": "learnrec-ingress",
    "search": "learnrec-retriever",
    "milvus": "learnrec-retriever",
    "ranker": "learnrec-ingress",
    "rank": "learnrec-ranker",
}
BENEATH = {
    "recommend": "GET /recommend/{user_id}",
    "postgres": "recommend",
    "embedder": "recommend",
    "embed": "embedder",
    "search": "retriever",
    "milvus": "search",
    "ranker": "recommend",
    "rank": "ranker",
}


UNWANTED = "4bf92f3577b34da6a3ce929d0e0e4736"


def learner(house: House, number: int) -> str:
    return house.tiny.world.users["user_id"][number].as_py()


def caller() -> tuple[str, str, dict[str, str]]:
    """Ids of a trace and of a span in it, and the header that hands them on."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    return trace, span, {"traceparent": f"00-{trace}-{span}-01"}


def arrived(house: House, trace: str, names: set[str]) -> list[Received]:
    until(lambda: names <= {span.name for span in house.traces.spans(trace)}, seconds=30)
    return house.traces.spans(trace)


def test_a_request_is_one_connected_trace_from_its_sender_to_every_store(served: House) -> None:
    trace, sender, headers = caller()
    with served.client() as client:
        answer = client.get(f"/recommend/{learner(served, 3)}", headers=headers | {"X-Request-ID": "traced-1"})
    assert answer.json()["degraded"] == []
    assert answer.headers["traceresponse"].startswith(f"00-{trace}-")
    spans = arrived(served, trace, set(OF_A_REQUEST))
    assert {name: span.service for span in spans if (name := span.name) in OF_A_REQUEST} == OF_A_REQUEST
    by_id = {span.id: span for span in spans}
    assert [span.name for span in spans if span.parent not in by_id] == ["GET /recommend/{user_id}"]
    assert {span.parent for span in spans if span.parent not in by_id} == {sender}
    above = {span.name: by_id[span.parent].name for span in spans if span.parent in by_id}
    assert BENEATH.items() <= above.items()
    root = next(span for span in spans if span.name.startswith("GET"))
    assert "traced-1" in root.attributes["learnrec.request_id"]
    told = " ".join(text for span in spans for text in (span.name, *span.attributes.values()))
    assert learner(served, 3) not in told


def test_requests_of_a_batch_share_its_span_by_links(served: House) -> None:
    callers = [caller() for _ in range(24)]

    async def ask() -> None:
        headers = {"Authorization": f"Bearer {served.token()}"}
        async with httpx.AsyncClient(base_url=served.url, headers=headers, timeout=60, trust_env=False) as client:
            asked = (client.get(f"/recommend/{learner(served, n)}", headers=c[2]) for n, c in enumerate(callers))
            for answer in await asyncio.gather(*asked):
                answer.raise_for_status()

    asyncio.run(ask())
    wanted = {trace for trace, _, _ in callers}

    def ours() -> list[Received]:
        return [span for span in served.traces.spans() if span.trace in wanted]

    until(lambda: len({span.trace for span in ours() if span.name.startswith("GET")}) == len(wanted), seconds=30)
    roots = {span.id: span for span in ours() if span.name.startswith("GET")}

    def together() -> dict[str, Received]:
        return {span.id: span for span in ours() if span.name == "recommend"}

    until(lambda: roots.keys() <= {one for batch in together().values() for one in batch.links}, seconds=30)
    batches = together()
    assert max(len(batch.links) for batch in batches.values()) > 1
    for root in roots.values():
        batch = next(batch for batch in batches.values() if root.id in batch.links)
        assert batch.parent == root.id or batch.id in root.links


@pytest.mark.parametrize("header", [None, f"00-{UNWANTED}-00f067aa0ba902b7-00", "nonsense", "00-0-0-01"])
def test_what_is_not_sampled_leaves_nothing(served: House, header: str | None) -> None:
    with served.client() as client:
        answer = client.get(f"/recommend/{learner(served, 4)}", headers={"traceparent": header} if header else {})
        trace, _, headers = caller()
        client.get(f"/recommend/{learner(served, 4)}", headers=headers | {"X-Request-ID": "the-last"})
    assert answer.status_code == 200
    assert "traceresponse" not in answer.headers
    arrived(served, trace, {"recommend"})
    assert UNWANTED not in {span.trace for span in served.traces.spans()}


def test_an_error_is_seen_in_its_span(served: House) -> None:
    trace, _, headers = caller()
    with served.client() as client:
        assert client.get("/nothing/here", headers=headers).status_code == 404
    (span,) = arrived(served, trace, {"other other"})
    assert "404" in span.attributes["http.response.status_code"]


def test_an_event_is_followed_into_the_log_and_out_of_it_again(served: House) -> None:
    trace, _, headers = caller()
    content = served.tiny.world.contents["content_id"][0].as_py()
    event = {"user_id": learner(served, 9), "content_id": content, "event_type": "like"}
    with served.client() as client:
        client.post("/events", json=[event], headers=headers).raise_for_status()
        client.post("/events", json=[event]).raise_for_status()  # of no trace
    run(Spec(group="traces"), served.settings)
    spans = arrived(served, trace, {"POST /events", "record events", "event log", "ingest events", "postgres"})
    by_id = {span.id: span for span in spans}
    above = {span.name: by_id[span.parent].name for span in spans if span.parent in by_id}
    assert above["record events"] == above["ingest events"] == "POST /events"
    assert (above["event log"], above["redis"]) == ("record events", "record events")
    ingested = next(span for span in spans if span.name == "ingest events")
    assert ingested.service == "learnrec-ingest"
    assert {span.name for span in spans if span.parent == ingested.id} >= {"parquet", "postgres"}
