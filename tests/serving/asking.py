"""Questions to the running service, and stores that are frozen while they are asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from tests.serving.conftest import House


def ask(house: House, number: int = 3) -> dict[str, Any]:
    user_id = house.tiny.world.users["user_id"][number].as_py()
    with house.client() as client:
        return client.get(f"/recommend/{user_id}").raise_for_status().json()


def is_whole(house: House) -> bool:
    body = ask(house)
    return (body["served_by"], body["degraded"]) == ("ranker", [])


@contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    assert processes
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()
