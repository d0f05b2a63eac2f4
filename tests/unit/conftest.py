"""Unit tests need no Ray and no socket: whatever opens one fails here, with a word on where it belongs."""

import socket
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def _neither_ray_nor_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_ray(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("a unit test called ray.init: it belongs in tests/cluster or tests/serving")

    def refuse_sockets(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("a unit test connected a socket: it belongs in tests/contracts, tests/serving or tests/cluster")

    monkeypatch.setattr(socket.socket, "connect", refuse_sockets)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse_sockets)
    monkeypatch.setattr("ray.init", refuse_ray)
