"""How far away a host is, by its name alone; and what follows for talking to it plainly."""

import ipaddress
from collections.abc import Iterator
from enum import StrEnum
from urllib.parse import urlsplit

from cluster.stack.doctor import Finding, Verdict


class Reach(StrEnum):
    LOOPBACK = "this machine alone"
    CLUSTER = "within the cluster"
    PRIVATE = "within a private network, or so it seems"
    OUTSIDE = "outside the cluster"


def reach(host: str) -> Reach:
    """Kubernetes' own names and those of one label, as Compose has them, do not leave their network."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _of_name(name)
    if address.is_loopback or address.is_unspecified:
        return Reach.LOOPBACK
    return Reach.PRIVATE if address.is_private else Reach.OUTSIDE


def _of_name(name: str) -> Reach:
    labels = name.split(".")
    if not name or name.startswith("/") or labels[-1] == "localhost":
        return Reach.LOOPBACK
    if len(labels) == 1 or labels[-1] == "svc" or name.endswith(".cluster.local"):
        return Reach.CLUSTER
    if len(labels) == 2:  # SERVICE.NAMESPACE; no public top-level domain has a hyphen, but those in Punycode
        return Reach.CLUSTER if "-" in labels[1] and not labels[1].startswith("xn--") else Reach.PRIVATE
    return Reach.OUTSIDE


def transport(subject: str, host: str, *, safe: bool, advice: str) -> Iterator[Finding]:
    """What is wrong with talking to `host`, over TLS (`safe`) or plainly."""
    how_far = reach(host)
    if how_far is Reach.LOOPBACK:
        found = f"{host or 'its host'} is {how_far}: no other machine finds it there"
        yield Finding(Verdict.WRONG, subject, found, "give the address that all machines of the deployment know")
    elif not safe and how_far is not Reach.CLUSTER:
        verdict = Verdict.NOTE if how_far is Reach.PRIVATE else Verdict.WRONG
        yield Finding(verdict, subject, f"{host} is {how_far}, and is talked to without TLS", advice)


def host_of(url: str) -> str | None:
    """None: it is no URL with a host; which part is wrong is not said, as it may be the password's."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname
