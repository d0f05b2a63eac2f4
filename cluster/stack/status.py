"""How every part of the stack is, by asking it."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module

from app.errors import Unavailable, without_secrets
from app.settings import Settings, load_settings, prepare_process
from cluster.stack.engine import Engine
from cluster.stack.kinds import KINDS
from cluster.stack.serving import health, serving_url, was_served
from cluster.stack.var import Var

PING_TIMEOUT_S = 3.0


class Health(StrEnum):
    UP = "up"
    DOWN = "down"  # not started, or it ended
    SILENT = "does not answer"
    OFF = "not deployed"  # the application, where `up --no-serve` was asked for


@dataclass(frozen=True, slots=True)
class Part:
    """One row of the status; `address` is without its password."""

    name: str
    title: str
    health: Health
    address: str | None
    external: bool
    pid: int | None
    ping_ms: float | None
    advice: str

    @property
    def fine(self) -> bool:
        return self.health in (Health.UP, Health.OFF)


def status() -> list[Part]:
    """Ask every engine and the application, all at once. Raises InvalidInput: the environment does not validate."""
    pinned, settings = load_settings(embedded=False), load_settings()
    settings = settings.model_copy(update={"var_dir": settings.var_dir.resolve()})
    prepare_process(settings=settings)
    var = Var(settings.var_dir)
    with ThreadPoolExecutor(len(KINDS) + 1) as pool:
        engines = [pool.submit(_engine, kind, settings, pinned=pinned, var=var) for kind in KINDS]
        application = pool.submit(_application, settings)
        return [answer.result() for answer in (*engines, application)]


def _engine(kind: type[Engine], settings: Settings, *, pinned: Settings, var: Var) -> Part:
    external = getattr(pinned, kind.address_field) is not None
    address = getattr(settings, kind.address_field)
    record = None if external else var.record(kind)
    process = record.process() if record else None

    def part(health: Health, ping_ms: float | None = None, advice: str = "") -> Part:
        shown = without_secrets(address) if address else None
        return Part(kind.name, kind.title, health, shown, external, process.pid if process else None, ping_ms, advice)

    if not external and process is None:
        ended = f"it ended: see {var.log(kind.name)}, then run `learnrec up`" if record else "run `learnrec up`"
        return part(Health.DOWN, advice=ended)
    if address is None:
        return part(Health.SILENT, advice="it is starting, or `learnrec up` was cut off: run `learnrec up` again")
    import_module(kind.client)
    begin = time.perf_counter()
    try:
        kind.ping(address, timeout_s=PING_TIMEOUT_S)
    except Unavailable as exc:
        reason = exc.reason.partition("\n")[0]
        variable = f"LEARNREC_{kind.address_field.upper()}"
        try_this = f"start it, or correct {variable}" if external else f"see {var.log(kind.name)}, or `learnrec up`"
        return part(Health.SILENT, advice=f"{reason}: {try_this}")
    return part(Health.UP, (time.perf_counter() - begin) * 1000)


def _application(settings: Settings) -> Part:
    url = serving_url(settings)
    if not was_served(settings.var_dir):
        return Part("serve", "Recommendations", Health.OFF, None, False, None, None, "run `learnrec up`")
    begin = time.perf_counter()
    wrong = health(settings, timeout_s=PING_TIMEOUT_S)
    ping_ms = (time.perf_counter() - begin) * 1000
    if wrong is not None:
        return Part("serve", "Recommendations", Health.SILENT, url, False, None, None, f"{wrong}: run `learnrec up`")
    return Part("serve", "Recommendations", Health.UP, url, False, None, ping_ms, "")
