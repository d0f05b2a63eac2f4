"""Which doors the running stack opens, and to whom."""

import socket
from ipaddress import ip_address

import psutil

from tests.serving.conftest import House


def listening() -> dict[tuple[str, int], psutil.Process]:
    """Address and port of everything that what this test process started listens at."""
    ours = {process.pid: process for process in psutil.Process().children(recursive=True)}
    return {
        (found.laddr.ip, found.laddr.port): ours[found.pid]
        for found in psutil.net_connections("inet")
        if found.pid in ours and found.status == psutil.CONN_LISTEN and found.laddr
    }


def test_print(served: House) -> None:
    for (ip, port), process in sorted(listening().items(), key=lambda one: one[0][1]):
        print(ip, port, process.name(), " ".join(process.cmdline())[:110])
    assert 0


def other_addresses() -> list[str]:
    """Of this machine, as the network sees it."""
    found = {one.address for each in psutil.net_if_addrs().values() for one in each if one.family == socket.AF_INET}
    return sorted(address for address in found if not ip_address(address).is_loopback)
