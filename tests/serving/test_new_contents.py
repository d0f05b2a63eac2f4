"""Contents that are published after a release was trained: served within seconds, without another training."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest

from app.adapters.milvus_index import MilvusIndex
from app.domain.contents import CONTENT_SCHEMA
from app.domain.releases import PRODUCTION
from app.models.release import load_release
from jobs import stores
from jobs.build_index import Spec, run
from jobs.releases import registry
from tests.serving.asking import is_whole
from tests.serving.conftest import House
from tests.serving.tiny import FIRST
from tests.serving.waiting import until

WITHIN_S = 10.0


@pytest.fixture
def published(served: House) -> Iterator[str]:
    """A content like the most popular one, made now; its id. The first release is put back afterwards."""
    like = served.tiny.world.contents.slice(0, 1).to_pylist()[0]
    fresh = {
        **like,
        "content_id": str(uuid4()),
        "external_id": "fresh",
        "title": "Fresh",
        "created_at": datetime.now(UTC),
    }
    with stores.warehouse(served.settings) as warehouse:
        warehouse.put_contents(pa.Table.from_pylist([fresh], schema=CONTENT_SCHEMA))
    yield fresh["content_id"]
    served.promote(FIRST)
    until(lambda: served.health()["release"] == FIRST and is_whole(served), seconds=30)


def test_new_contents_are_retrieved_and_ranked_within_ten_seconds(served: House, published: str) -> None:
    users = served.tiny.world.users["user_id"].to_pylist()
    with served.client() as client:
        began = time.monotonic()
        result = run(Spec(incremental=True), served.settings)
        until(lambda: served.health()["release"] == result.output, seconds=60, every_s=0.05)
        took_s = time.monotonic() - began
        answers = [client.get(f"/recommend/{one}?k=100").raise_for_status().json() for one in users[:30]]
        shown = [item for body in answers for item in body["items"] if item["content_id"] == published]
        assert len(shown) == len(answers)
        assert {body["served_by"] for body in answers} == {"ranker"}
        assert {item["source"] for item in shown} <= {"two_tower", "new"}
        event = {"user_id": users[0], "content_id": published, "event_type": "complete"}
        client.post("/events", json=event).raise_for_status()
        after = client.get(f"/recommend/{users[0]}?k=100").raise_for_status().json()
        assert published not in {item["content_id"] for item in after["items"]}
        assert after["served_by"] == "ranker", "a history with a content that the tower never saw"
    assert result.metrics == {"num_new": 1.0}
    assert took_s < WITHIN_S
    again = run(Spec(incremental=True), served.settings)
    assert (again.reused, again.output, again.metrics) == (True, result.output, {"num_new": 0.0})


async def test_the_collection_finds_the_new_content_and_the_older_release_passes_over_it(
    served: House, published: str
) -> None:
    result = run(Spec(incremental=True), served.settings)
    until(lambda: served.health()["release"] == result.output, seconds=30)
    longer = load_release(served.settings.var_dir / "releases" / result.output)
    shorter = load_release(served.settings.var_dir / "releases" / FIRST)
    (place,) = longer.catalogue.index_of([published])
    query = np.asarray(longer.items.embeddings[place : place + 1])
    for release, expected in ((longer, True), (shorter, False)):
        index = MilvusIndex(
            served.settings.need("milvus_uri"), release.manifest.collection, content_ids=release.catalogue.content_ids
        )
        found = await index.search(query, limit=20, deadline_s=10)
        assert (int(place) in found.index[0].tolist()) is expected
        await index.close()
    with registry(served.settings) as known:
        assert known.previous(PRODUCTION) == FIRST
