"""What becomes of the answers while something that they depend on is dead, frozen or slow, under steady load."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cluster.bench.faults import Fault, Victim, befallen
from cluster.bench.served import Served
from cluster.bench.steady import Answered, Steady
from cluster.deploy import deploy, local_config

RATE = 50.0
BEFORE_S, DURING_S = 4.0, 8.0
WHOLE_AFTER_S, GIVEN_UP_S = 10.0, 60.0
CALM = 25
"""So many full answers in a row are a recovery."""

MAX_P99_MS = 500.0
MAX_MISLABELLED = 0.02
"""Share of answers that miss something else as well, as they do now and then on a machine as busy as this."""


@dataclass(frozen=True, slots=True)
class Ordeal:
    """One fault, and the answers in it."""

    victim: str
    fault: str
    num_requests: int
    num_failed: int  # other than 200
    num_empty: int
    p99_before_ms: float
    p99_ms: float
    labels: dict[str, int]  # what `degraded` said, and how often; "" for a full answer
    down_s: float  # until the victim was back
    full_again_s: float | None  # from then on

    def shortfalls(self, label: str | None) -> list[str]:
        """What was promised and not kept."""
        allowed = {"", *([label] if label else [])}
        wrong = sum(number for said, number in self.labels.items() if said not in allowed)
        found = {
            f"{self.num_failed} of {self.num_requests} answers were not 200": self.num_failed > 0,
            f"{self.num_empty} slates were empty": self.num_empty > 0,
            f"p99 was {self.p99_ms:.0f} ms, more than {MAX_P99_MS:.0f}": self.p99_ms > MAX_P99_MS,
            f"labels {self.labels}, of which {sorted(allowed)} are right": wrong > MAX_MISLABELLED * self.num_requests,
            f"full again after {self.full_again_s} s": self.full_again_s is None or self.full_again_s > WHOLE_AFTER_S,
        }
        return [what for what, is_so in found.items() if is_so]


def undergo(
    load: Steady, victim: str, fault: str, lasting: AbstractContextManager[None], *, during_s: float = DURING_S
) -> Ordeal:
    """One fault, while `lasting` does, under the load; returns when the answers are full again, or GIVEN_UP_S later."""
    wait_until_full(load, GIVEN_UP_S)
    calm = time.monotonic()
    _pass(calm + BEFORE_S)
    began = time.monotonic()
    with lasting:
        _pass(began + during_s)
        ended = time.monotonic()
    over = time.monotonic()
    wait_until_full(load, GIVEN_UP_S)
    inside, before, all_of_it = load.between(began, ended), load.between(calm, began), load.between(began, over)
    return Ordeal(
        victim=victim,
        fault=fault,
        num_requests=len(all_of_it),
        num_failed=sum(answer.status != 200 for answer in all_of_it),
        num_empty=sum(answer.status == 200 and not answer.num_items for answer in all_of_it),
        p99_before_ms=_p99(before),
        p99_ms=_p99(inside),
        labels=dict(Counter(" ".join(answer.degraded) for answer in inside)),
        down_s=round(over - began, 1),
        full_again_s=_full_again(load, over),
    )


def chaos(
    load: Steady, victims: Sequence[Victim], faults: Sequence[Fault] = tuple(Fault), *, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Every fault of every victim, one after the other; rows for a table."""
    rows = []
    for victim in victims:
        for fault in faults:
            tell(f"{victim.name}: {fault.value}")
            ordeal = undergo(load, victim.name, fault.value, befallen(victim, fault))
            rows.append({**asdict(ordeal), "shortfalls": ordeal.shortfalls(victim.label)})
    return rows


def restarts(load: Steady, served: Served, *, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every deployment made anew, one after the other; rows for the same table."""
    rows, config = [], local_config(served.settings())
    for deployment in config["applications"][0]["deployments"]:
        name = deployment["name"]
        tell(f"{name}: restarted")
        ordeal = undergo(load, f"{name} (all replicas)", "restarted", _restarted(served, config, deployment))
        rows.append({**asdict(ordeal), "shortfalls": ordeal.shortfalls(name.lower())})
    return rows


@contextmanager
def _restarted(served: Served, config: dict[str, Any], deployment: dict[str, Any]) -> Iterator[None]:
    """Another environment makes Serve replace the replicas of `deployment`, a part of `config`; entered when it has."""
    deployment["ray_actor_options"]["runtime_env"] = {"env_vars": {"LEARNREC_BENCH": "restarted"}}
    deploy(served.settings(), config)
    yield


def wait_until_full(load: Steady, within_s: float) -> bool:
    """Whether the last CALM answers became full in time."""
    deadline, since = time.monotonic() + within_s, time.monotonic()
    while time.monotonic() < deadline:
        latest = load.between(since, deadline)[-CALM:]
        if len(latest) == CALM and all(answer.is_full for answer in latest):
            return True
        time.sleep(0.05)
    return False


def _full_again(load: Steady, over: float) -> float | None:
    """Seconds from `over` to the first of CALM full answers in a row."""
    after = sorted(load.between(over, float("inf")), key=lambda answer: answer.asked_at)
    broken = [at for at, answer in enumerate(after) if not answer.is_full]
    first = broken[-1] + 1 if broken else 0
    return round(after[first].asked_at - over, 2) if len(after) - first >= CALM else None


def _pass(until: float) -> None:
    time.sleep(max(0.0, until - time.monotonic()))


def _p99(answers: Sequence[Answered]) -> float:
    return round(float(np.percentile([answer.latency_ms for answer in answers], 99)), 1) if answers else float("nan")
