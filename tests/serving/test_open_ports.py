"""Which doors the running stack opens, and to whom."""

import socket
from ipaddress import ip_address

import psutil
import pytest

from tests.serving.conftest import House

OF_OTHER_TESTS = {"milvus", "java", "rclone"}
"""Servers of production that tests before these started, and that `learnrec up` never does."""


def listening() -> dict[tuple[str, int], psutil.Process]:
    """Address and port of everything of the stack that this test process started."""
    started = psutil.Process().children(recursive=True)
    ours = {process.pid: process for process in started if process.name() not in OF_OTHER_TESTS}
    return {
        (found.laddr.ip, found.laddr.port): ours[found.pid]
        for found in psutil.net_connections("inet")
        if found.pid in ours and found.status == psutil.CONN_LISTEN and found.laddr
    }


def other_addresses() -> list[str]:
    """Of this machine, as the network sees it."""
    found = {one.address for each in psutil.net_if_addrs().values() for one in each if one.family == socket.AF_INET}
    return sorted(address for address in found if not ip_address(address).is_loopback)


WIDE = {"ray::ServeReplica"}
"""Replicas call each other at a port that Ray opens on every interface; where Ray has a token, it asks for it."""

DOORS = {"postgres", "redis-server", "python", "haproxy", "gcs_server", "raylet", "ray"}
"""Beginnings of the names of what listens: a new kind of process is a new row of the table in SECURITY.md."""


def test_every_door_is_open_to_this_machine_only(served: House) -> None:
    found = listening()
    kinds = {process.name().replace(":", "-").split("-")[0] for process in found.values()}
    assert kinds <= DOORS | {"redis"}
    wide = [(ip, port, process.name()) for (ip, port), process in found.items() if not is_loopback(ip)]
    unexpected = [door for door in wide if not door[2].startswith(tuple(WIDE))]
    assert not unexpected, f"open to the network: {unexpected}"
    replicas = {process.pid for process in found.values() if process.name().startswith("ray::ServeReplica")}
    assert len(wide) <= len(replicas), "one port of each replica, and not HTTP's"


def test_the_haproxy_that_serves_has_three_doors_and_all_are_ours(served: House) -> None:
    ports = {port: ip for (ip, port), process in listening().items() if process.name() == "haproxy"}
    assert served.settings.http_port in ports
    assert len(ports) == 3, "requests, metrics, statistics"
    assert set(ports.values()) == {"127.0.0.1"}


def is_loopback(ip: str) -> bool:
    address = ip_address(ip)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_from_the_network_nothing_answers(served: House) -> None:
    """Real connections to the machine's other addresses, at every port that anything of ours listens at."""
    others = other_addresses()
    if not others:
        pytest.skip("this machine has no other address than loopback")
    closed = {port for (_, port), process in listening().items() if not process.name().startswith(tuple(WIDE))}
    for ip, port in ((ip, port) for ip in others for port in closed):
        with socket.socket() as peer:
            peer.settimeout(2)
            assert peer.connect_ex((ip, port)) != 0, f"{ip}:{port} answers"
