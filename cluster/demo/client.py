"""What the demonstration does as a client of the service: one learner, over HTTP."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from app.adapters.postgres.directory import PostgresLearnerDirectory
from app.domain.learners import WINDOW
from app.errors import LearnrecError, Unavailable
from app.serving.access import Role
from app.serving.keys import signed
from app.settings import Settings
from jobs.stores import warehouse

READY_S = 120.0
FEWEST_EVENTS = 12
LOOKED_AT = 300


@dataclass(frozen=True, slots=True)
class Person:
    """A learner to show, and what they studied, most recent first."""

    user_id: str  # as the source called them
    cohort: str | None
    history: list[tuple[str, str]]  # (content id, event type)


@dataclass(frozen=True, slots=True)
class Contents:
    """Titles and tags by content id, and the id that the source used."""

    title: Mapping[str, str]
    tags: Mapping[str, list[str]]


def read_contents(settings: Settings) -> Contents:
    with warehouse(settings) as stores:
        rows = stores.read("contents").select(["content_id", "title", "tags"]).to_pydict()
    ids = rows["content_id"]
    return Contents(dict(zip(ids, rows["title"], strict=True)), dict(zip(ids, rows["tags"], strict=True)))


def choose_person(settings: Settings) -> Person:
    """A learner with a past that fits on a screen. Raises LearnrecError: there is none."""
    with warehouse(settings) as stores:
        users = stores.read("users").sort_by("user_id").slice(0, LOOKED_AT).to_pydict()

    async def ask() -> Person:
        async with PostgresLearnerDirectory(settings.need("postgres_url")) as directory:
            records = await directory.learners(users["user_id"], window=WINDOW)
        sizes = {row: len(contents) for row, contents in enumerate(records.contents)}
        enough = [row for row, size in sizes.items() if size >= FEWEST_EVENTS] or [max(sizes, key=lambda r: sizes[r])]
        row = min(enough, key=lambda r: sizes[r])
        history = list(zip(records.contents[row], records.event_types[row], strict=True))
        return Person(users["external_id"][row], records.cohort[row], history)

    if not users["user_id"]:
        raise LearnrecError("there is no learner to show: nothing was imported")
    return asyncio.run(ask())


class Client:
    """Speaks to the service for one learner, with a token of their own."""

    def __init__(self, settings: Settings, user_id: str) -> None:
        token = signed(settings, user=user_id, role=Role.LEARNER)
        self._user_id = user_id
        self._http = httpx.Client(
            base_url=f"{settings.http_scheme}://{settings.http_host}:{settings.http_port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
            trust_env=False,
        )

    def wait_until_ready(self) -> None:
        """Raises Unavailable: the service holds no release within READY_S."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            try:
                if self._http.get("/health").json().get("ready"):
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise Unavailable("the service", f"no release is served after {READY_S:.0f} s: see /health and var/log")

    def recommend(self, num_items: int = 10) -> dict[str, Any]:
        return self._json(self._http.get(f"/recommend/{self._user_id}", params={"k": num_items}))

    def complete(self, content_id: str) -> dict[str, Any]:
        event = {"user_id": self._user_id, "content_id": content_id, "event_type": "complete"}
        return self._json(self._http.post("/events", json=event))

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        if response.is_error:
            raise LearnrecError(f"{response.request.url} answered {response.status_code}: {response.text}")
        return response.json()

    def close(self) -> None:
        self._http.close()
