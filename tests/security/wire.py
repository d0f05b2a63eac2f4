"""Requests as bytes on a socket: what no well-behaved client would send."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn
from fastapi import FastAPI

LOOPBACK = "127.0.0.1"


@contextmanager
def listening(application: FastAPI) -> Iterator[int]:
    """The port where the application is served by uvicorn, as Serve's replicas do."""
    door = socket.create_server((LOOPBACK, 0))
    server = uvicorn.Server(uvicorn.Config(application, lifespan="off", log_level="error"))
    thread = Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
    thread.start()
    try:
        yield door.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the process listens there."""
    while True:
        assert process.poll() is None, "the process ended"
        with socket.socket() as peer:
            if peer.connect_ex((LOOPBACK, port)) == 0:
                return


def exchange(port: int, sent: bytes, *, timeout_s: float = 30.0) -> bytes:
    """What comes back until the other side closes, or stops talking."""
    with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as peer:
        peer.sendall(sent)
        return received(peer)


def received(peer: socket.socket) -> bytes:
    """One answer: until its end, or that of the connection."""
    data = b""
    while not _whole(data):
        try:
            part = peer.recv(65_536)
        except ConnectionResetError:
            break
        if not part:
            break
        data += part
    return data


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0])


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {target} HTTP/1.1", "Host: service", *headers, *length, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + body
