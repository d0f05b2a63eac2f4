"""Take the stack down: everything of it ends, its data stays."""

from app.errors import Conflict
from cluster.stack.engine import Engine
from cluster.stack.engines.ray import RayEngine
from cluster.stack.kinds import KINDS
from cluster.stack.processes import marked, stop
from cluster.stack.running import stop_engine
from cluster.stack.serving import forget_serving
from cluster.stack.tell import State, Tell
from cluster.stack.var import Var


def down(var: Var, *, wipe: bool = False, tell: Tell) -> list[str]:
    """Stop everything that carries the stack's marker or stands in its records; with `wipe`, remove its data.

    Changes nothing where nothing runs. Returns what a wipe left in VAR because it is not ours.
    Raises Conflict: another `up` or `down` is at work, or processes do not end.
    """
    if not var.root.exists() and not marked(var.stack):
        return []
    with var.locked():
        for kind in reversed(KINDS):
            runs = var.record(kind) is not None or bool(marked(var.stack, engine=kind.name))
            if runs:
                tell(kind.title, State.STOPPING, "")
            stop_recorded(kind, var)
            if kind is RayEngine:
                forget_serving(var)
                RayEngine(home=var.home(RayEngine), port=0).keep_logs()
            var.forget(kind)
            if runs:
                tell(kind.title, State.STOPPED, "")
        left = stop(lambda: marked(var.stack))
        if left:
            numbers = ", ".join(f"{process.pid}" for process in left)
            raise Conflict(f"these processes of {var.root} do not end: {numbers}. Whose are they? Try as root")
        return var.wipe() if wipe else []


def stop_recorded(kind: type[Engine], var: Var) -> None:
    """Stop an engine by its record, whole or in parts, and whatever else of it the marker finds."""
    record = var.record(kind)
    process = record.process() if record else None
    stop_engine(kind, process, stack=var.stack, sessions=record.sessions() if record else ())
