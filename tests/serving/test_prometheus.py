"""Prometheus asks the running service, and every panel of every dashboard has something to show."""

import asyncio
import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from deploy.observability.generate import read
from tests.observability.prometheus import Prometheus, metrics_ports_of_ray, prometheus
from tests.observability.tools import OBSERVABILITY
from tests.serving.conftest import House
from tests.serving.test_trial import on_trial
from tests.serving.tiny import SECOND
from tests.serving.waiting import until

ON_A_CLUSTER = {
    "Replicas that autoscaling decided for and did not get": "autoscaling, which one machine is deployed without",
}
"""Panels that one machine has no data for, and why."""

Panel = tuple[str, str, str]  # board, title, query


def panels() -> list[Panel]:
    return [
        (path.stem, panel["title"], target["expr"])
        for path in sorted((OBSERVABILITY / "grafana").glob("*.json"))
        for panel in json.loads(path.read_text())["panels"]
        for target in panel["targets"]
    ]


@pytest.fixture(scope="module")
def watched(served: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """With some seconds of everything that can be asked."""
    targets = {
        "learnrec": [f"127.0.0.1:{served.settings.http_port}"],
        "ray": metrics_ports_of_ray(served.settings.need("ray_address")),
        "haproxy": [f"127.0.0.1:{port}" for port in haproxy_ports(served)],
    }
    with prometheus(tmp_path_factory.mktemp("prometheus"), targets) as running:
        until(lambda: running.values('up{job="learnrec"}') == [1.0], seconds=30)
        with on_trial(served, SECOND, shadow=1.0):
            asyncio.run(traffic(served))
        yield running


def haproxy_ports(house: House) -> list[str]:
    name = "RAY_SERVE_HAPROXY_METRICS_PORT"
    return sorted({process.environ()[name] for process in house.replicas("haproxy") if name in process.environ()})


async def traffic(house: House, rounds: int = 8) -> None:
    """Of all sorts, some of it wrong, some in too much of a hurry to be answered well."""
    ids = [*house.tiny.world.users["user_id"].to_pylist()[:40], "nobody-knows-me"]
    content = house.tiny.world.contents["content_id"][0].as_py()
    event = {"user_id": "watched", "content_id": content, "event_type": "like"}
    headers = {"Authorization": f"Bearer {house.token()}"}
    async with httpx.AsyncClient(base_url=house.url, headers=headers, timeout=60, trust_env=False) as client:
        for number in range(rounds):
            hurry = {"X-Request-Timeout-Ms": "10"} if number % 2 else {}
            asked = [client.get(f"/recommend/{one}", headers=hurry) for one in ids]
            asked += [client.post("/events", json=[event]), client.get("/health"), client.get(f"/no/such/{number}")]
            await asyncio.gather(*asked)
            await asyncio.sleep(0.5)  # so that the counters move between two scrapes


@pytest.mark.parametrize(("board", "title", "query"), panels(), ids=lambda text: text[:40])
def test_every_panel_has_something_to_show(watched: Prometheus, board: str, title: str, query: str) -> None:
    if title in ON_A_CLUSTER:
        watched.values(query)  # it is a query at least
        return
    until(lambda: any(map(math.isfinite, watched.values(query))), seconds=20)


def test_what_needs_a_cluster_says_so_on_its_panel() -> None:
    told = {
        panel["title"]: panel["needs"]
        for board in read("dashboards.toml")["dashboard"]
        for panel in board["panel"]
        if "needs" in panel
    }
    assert told == ON_A_CLUSTER


def test_all_rules_are_evaluated_without_an_error(watched: Prometheus) -> None:
    def rules() -> list[dict[str, Any]]:
        return [rule for group in watched.get("rules")["groups"] for rule in group["rules"]]

    until(lambda: all(rule["health"] == "ok" for rule in rules()), seconds=20)
    assert len(rules()) > 40


def test_hostile_requests_make_no_new_series(served: House) -> None:
    def names() -> set[str]:
        text = httpx.get(f"{served.url}/metrics", timeout=10, trust_env=False).text
        return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}

    def attack(word: str) -> None:
        with served.client() as client:
            for number in range(10):
                client.get(f"/recommend/{word}{number}", headers={"X-Request-ID": f"{word}{number}"})
                client.get(f"/{word}/{number}?{word}={number}")
                client.get("/recommend/ada", params={"k": f"{word}{number}"})
                client.get("/recommend/ada", headers={"Authorization": f"Bearer {word}{number}"})
                client.post("/events", json=[{"event_type": f"{word}{number}"}])
                with suppress(httpx.HTTPError):
                    client.request(f"{word.upper()}", "/events")

    attack("first")
    before = names()
    attack("again")
    assert names() == before
    assert not re.search("first|again", "".join(before - {one for one in before if "release" in one}))
