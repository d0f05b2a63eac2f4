"""Another release is promoted while requests run, and the first one back; runs after all that asks for the first."""

import threading
from typing import Any, Self

import httpx

from tests.serving.conftest import House
from tests.serving.tiny import FIRST, SECOND
from tests.serving.waiting import until


class Load:
    """Requests one after the other, on a few threads, until told to end."""

    def __init__(self, house: House, num_threads: int = 3) -> None:
        self.answers: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._house, self._ended = house, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(num_threads)]

    def _run(self, number: int) -> None:
        ids = self._house.tiny.world.users["user_id"].to_pylist()
        with self._house.client() as client:
            while not self._ended.is_set():
                number = (number + 7) % len(ids)
                try:
                    response = client.get(f"/recommend/{ids[number]}")
                except httpx.HTTPError as exc:
                    self.errors.append(repr(exc))
                    continue
                if response.status_code == 200:
                    self.answers.append(response.json())
                else:
                    self.errors.append(response.text)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_promotions_and_rollbacks_reach_replicas_under_load_without_an_error_or_a_mixture(served: House) -> None:
    with Load(served) as load:
        until(lambda: len(load.answers) > 20, seconds=30)
        for release_id in (SECOND, FIRST):
            served.promote(release_id)
            assert until(lambda wanted=release_id: served.health()["release"] == wanted, seconds=30) < 10
            seen = len(load.answers)
            until(lambda seen=seen: len(load.answers) > seen + 20, seconds=30)
    assert not load.errors
    assert {body["release"] for body in load.answers} == {FIRST, SECOND}
    # A mixture would not even fit: other dimensions. A busy machine may have Milvus late, and then FAISS answers.
    assert {tuple(body["degraded"]) for body in load.answers} <= {(), ("milvus",)}
    assert {body["served_by"] for body in load.answers} == {"ranker"}
