"""Bring the stack up: start what is missing, and undo that if it cannot be finished."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from app.errors import Conflict, LearnrecError, Unavailable
from app.settings import Settings, child_environment, load_settings, prepare_process
from cluster.stack.down import stop_recorded
from cluster.stack.engine import Engine
from cluster.stack.engines.ray import RayEngine
from cluster.stack.kinds import KINDS, STORES
from cluster.stack.ports import choose, is_free
from cluster.stack.running import Running, spawn_engine, stop_engine, wait_for
from cluster.stack.serving import forget_serving, is_serving, make_keys, migrate, serve_application
from cluster.stack.signals import terminable, uninterrupted
from cluster.stack.tell import State, Tell
from cluster.stack.var import Record, Var

RUNNING_PING_S = 5.0  # an engine that is busy gets this long before it counts as hung


@dataclass
class _Up:
    """One `up` at work."""

    var: Var
    settings: Settings  # grows by the addresses of what runs
    pinned: Settings  # what the environment says
    tell: Tell
    begun: dict[type[Engine], Running | None] = field(default_factory=dict[type[Engine], Running | None])

    def engines(self) -> None:
        """All at once: none asks another while it starts, and Ray inherits addresses that are known by then."""
        for kind in KINDS:
            self._check_pinned(kind)
        starting = [self._spawn(engine) for kind in STORES if (engine := self._missing(kind))]
        self._await([*starting, *self._ray()])

    def _ray(self) -> list[Running]:
        if self.pinned.ray_address is not None:
            return []
        token = self.pinned.ray_auth_token or SecretStr(self.var.secret("ray_token"))
        self._learn(ray_auth_token=token)
        prepare_process(settings=self.settings)  # before the first ping imports Ray
        record = self.var.record(RayEngine)
        if record is not None and record.process() is not None and record.inherited != self._inherited():
            self.tell(RayEngine.title, State.STOPPED, "an address changed that everything on Ray inherited")
            stop_recorded(RayEngine, self.var)
            self.var.forget(RayEngine)
        self._choose_http_port()
        engine = self._missing(RayEngine)
        if engine is None:
            return []
        forget_serving(self.var)
        return [self._spawn(engine)]

    def undo(self) -> None:
        """Stop what this `up` started, last first."""
        for kind, running in reversed(self.begun.items()):
            stop_engine(kind, running.process if running else None, stack=self.var.stack)
            self.var.forget(kind)
            if kind is RayEngine:
                forget_serving(self.var)
                RayEngine(home=self.var.home(RayEngine), port=0).keep_logs()
            self.tell(kind.title, State.STOPPED, "")

    def _check_pinned(self, kind: type[Engine]) -> None:
        address = getattr(self.pinned, kind.address_field)
        if address is None:
            return
        try:
            kind.ping(address, timeout_s=RUNNING_PING_S)
        except Unavailable as exc:
            variable = f"LEARNREC_{kind.address_field.upper()}"
            raise Unavailable(
                f"the {kind.title} that {variable} points at",
                f"{exc.reason}. Start it, correct the variable, or unset it to have one started here",
            ) from exc
        self.tell(kind.title, State.EXTERNAL, "")

    def _missing(self, kind: type[Engine]) -> Engine | None:
        """The engine to start; None where it is external or runs already."""
        if getattr(self.pinned, kind.address_field) is not None:
            return None
        record = self.var.record(kind)
        if record is not None and record.process() is not None:
            engine = self._engine(kind, record.port, dashboard_port=record.dashboard_port)
            if _answers(engine):
                self._learn(**{kind.address_field: engine.address})
                self.tell(kind.title, State.RUNNING, "")
                return None
        # Not there, or hung, or a crash left a part of it.
        stop_recorded(kind, self.var)
        port = choose(record.port if record else kind.default_port)
        return self._engine(kind, port)

    def _engine(self, kind: type[Engine], port: int, *, dashboard_port: int | None = None) -> Engine:
        if not issubclass(kind, RayEngine):
            return kind(home=self.var.home(kind), port=port)
        token = self.settings.ray_auth_token
        return kind(
            home=self.var.home(kind),
            port=port,
            dashboard_port=dashboard_port or choose(RayEngine.dashboard_port),
            token=token.get_secret_value() if token else None,
        )

    def _spawn(self, engine: Engine) -> Running:
        taken = engine.port != engine.default_port
        self.tell(engine.title, State.STARTING, f"port {engine.default_port} is taken: {engine.port}" if taken else "")
        self.begun[type(engine)] = None  # from here on there may be something to stop
        running = spawn_engine(
            engine,
            stack=self.var.stack,
            environment=child_environment(self.settings),
            log=self.var.log(engine.name),
        )
        self.begun[type(engine)] = running
        record = Record(
            pid=running.process.pid,
            created_at=running.process.create_time(),
            port=engine.port,
            dashboard_port=engine.dashboard_port if isinstance(engine, RayEngine) else None,
            inherited=self._inherited() if isinstance(engine, RayEngine) else None,
        )
        self.var.remember(type(engine), record)
        self._learn(**{engine.address_field: engine.address})
        return running

    def _await(self, starting: list[Running]) -> None:
        for running in wait_for(starting):
            self.tell(running.engine.title, State.READY, "")

    def _learn(self, **found: Any) -> None:
        self.settings = self.settings.model_copy(update=found)

    def _choose_http_port(self) -> None:
        """Chosen before Ray starts, since everything on it inherits the choice."""
        if "http_port" in self.pinned.model_fields_set:
            if not is_serving(self.settings) and not is_free(self.pinned.http_port):
                raise Conflict(
                    f"port {self.pinned.http_port} is taken: free it, set LEARNREC_HTTP_PORT to another, or unset it"
                )
            return
        known = self.var.addresses().get("http_port")
        ray = self.var.record(RayEngine)
        keep = known is not None and ray is not None and ray.process() is not None
        self._learn(http_port=known if keep else choose(self.settings.http_port))

    def _inherited(self) -> str:
        stores = [str(getattr(self.settings, kind.address_field)) for kind in STORES]
        return hashlib.sha256("\n".join([*stores, self.settings.object_store_uri]).encode()).hexdigest()


def up(*, serve: bool, tell: Tell) -> Settings:
    """Start what is missing of the stack; returns the settings with every address.

    What is started stays only if everything succeeds: an error or an interruption stops it again. What ran before
    is never stopped. Raises LearnrecError.
    """
    pinned = load_settings(embedded=False)
    pinned = pinned.model_copy(update={"var_dir": pinned.var_dir.resolve()})
    var = Var(pinned.var_dir)
    with var.locked(), terminable():
        work = _Up(var, settings=pinned, pinned=pinned, tell=tell)
        try:
            work.engines()
            var.set_addresses(_started(work.settings, pinned=pinned))
            migrate(work.settings)
            make_keys(work.settings)
            if serve:
                _serve(work)
        except BaseException:
            with uninterrupted():
                work.undo()
            raise
    return work.settings


def _serve(work: _Up) -> None:
    if is_serving(work.settings):
        work.tell("Recommendations", State.RUNNING, "")
        return
    work.tell("Recommendations", State.STARTING, "")
    serve_application(work.settings)
    work.tell("Recommendations", State.READY, "")


def _started(settings: Settings, *, pinned: Settings) -> dict[str, str | int | None]:
    """What `load_settings` shall find: the addresses that the environment does not give."""
    token = settings.ray_auth_token
    found = {kind.address_field: getattr(settings, kind.address_field) for kind in KINDS}
    found |= {"http_port": settings.http_port, "ray_auth_token": token.get_secret_value() if token else None}
    return {name: None if name in pinned.model_fields_set else value for name, value in found.items()}


def _answers(engine: Engine) -> bool:
    try:
        engine.ping(engine.address, timeout_s=RUNNING_PING_S)
    except (LearnrecError, OSError):
        return False
    return True
