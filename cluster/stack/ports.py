"""Ports of this machine: which are free."""

import socket
from contextlib import ExitStack

from cluster.stack.engine import LOOPBACK


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now, on whatever interface."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports in TIME_WAIT are free to a server
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  # bound, but never listening: HAProxy binds all interfaces
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Different ports that are free now; nothing holds them until a server does."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in sockets]


def choose(preferred: int) -> int:
    """The preferred port, or another that is free."""
    return preferred if is_free(preferred) else free_ports(1)[0]
