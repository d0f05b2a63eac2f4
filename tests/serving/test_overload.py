"""One ingress replica that takes two requests at once, asked for more."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from typing_extensions import override

from app.errors import Unavailable
from app.serving.arguments import GraphArguments
from app.serving.calls import Stage
from app.serving.http import build_app
from app.serving.service import Service
from app.serving.stage import StageStatus
from tests.serving.conftest import House
from tests.serving.tiny import FIRST

NARROW = GraphArguments.model_validate({"max_batch": 1, "max_in_flight": 1, "max_waiting": 1})


class Held(Stage):
    """A stage that fails when the test lets it."""

    def __init__(self, name: str, let_go: asyncio.Event) -> None:
        self.name, self._let_go = name, let_go

    @override
    async def call(self, method: str, release_id: str, *arguments: Any, deadline_s: float) -> Any:
        await self._let_go.wait()
        raise Unavailable(self.name, "as the test wants it")

    @override
    async def everywhere(self, method: str, *, deadline_s: float) -> list[Any]:
        return [StageStatus((FIRST,), {})]


@pytest.fixture
def let_go() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def client(served: House, let_go: asyncio.Event) -> AsyncIterator[httpx.AsyncClient]:
    stages = {name: Held(name, let_go) for name in ("embedder", "retriever", "ranker")}
    service = Service(served.settings, NARROW, **stages)
    await service.start()
    headers = {"Authorization": f"Bearer {served.token()}"}
    transport = httpx.ASGITransport(build_app(service))
    async with httpx.AsyncClient(transport=transport, base_url="http://learnrec", headers=headers) as made:
        yield made
    await service.close()


async def test_those_beyond_its_bounds_are_told_at_once_to_come_back(
    served: House, client: httpx.AsyncClient, let_go: asyncio.Event
) -> None:
    ids = served.tiny.world.users["user_id"].to_pylist()[:12]
    asked = [asyncio.create_task(client.get(f"/recommend/{one}")) for one in ids]
    early = asyncio.as_completed(asked, timeout=10)
    refused = [await next(early) for _ in range(10)]
    assert {answer.status_code for answer in refused} == {503}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)
    assert "under way" in refused[0].json()["detail"]
    let_go.set()
    let_in = [answer.json() for answer in [await rest for rest in early] if answer.status_code == 200]
    assert len(let_in) == 2, "those who were let in get their answer"
    assert all(body["items"] for body in let_in)
    assert (await client.get(f"/recommend/{ids[0]}")).status_code == 200, "there is room again"
    assert "learnrec_refused_total 10.0" in (await client.get("/metrics")).text
