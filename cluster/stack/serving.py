"""What `up` does once the engines answer: the schema, the development keys, the Serve application."""

import sys
import time
from pathlib import Path

import httpx

from app.errors import LearnrecError
from app.settings import Settings, child_environment
from cluster.stack.engine import Launch
from cluster.stack.processes import ENGINE_MARKER, STACK_MARKER, marked, spawn, stop
from cluster.stack.running import POLL_S, tail
from cluster.stack.var import Var

DEPLOY = "from app.settings import load_settings; from cluster.deploy import deploy; deploy(load_settings())"
DEPLOY_TIMEOUT_S = 300.0
NAME = "serve"


def migrate(settings: Settings) -> None:
    """Bring the database to the newest schema; changes nothing where it has it."""
    from app.adapters.postgres.migrations import migrate as run  # Alembic takes half a second to import

    run(settings.need("postgres_url"))


def make_keys(settings: Settings) -> None:
    """Make the development key pair, unless there is one, or the public keys come from outside."""
    if settings.jwt_jwks_path is not None:
        return
    from app.serving.keys import make_development_keys

    make_development_keys(settings.private_key_path, settings.jwks_path)


def serve_application(settings: Settings, var: Var) -> None:
    """Deploy on Ray, in a process of its own: a driver dies with its cluster, and `up` must survive to undo.

    Raises LearnrecError, with the end of the log.
    """
    environment = {**child_environment(settings), STACK_MARKER: var.stack, ENGINE_MARKER: NAME}
    log = var.log(NAME)
    process = spawn(Launch([sys.executable, "-c", DEPLOY]), environment=environment, log=log)
    deadline = time.monotonic() + DEPLOY_TIMEOUT_S
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise LearnrecError(f"Serve did not come up within {DEPLOY_TIMEOUT_S:.0f} s. {tail(log)}")
            time.sleep(POLL_S)
    except BaseException:
        stop(lambda: marked(var.stack, engine=NAME, sessions=(process.pid,)))
        raise
    if process.returncode != 0:
        raise LearnrecError(f"the Serve application could not be deployed. {tail(log)}")
    _note(settings).write_text(serving_url(settings))


def serving_url(settings: Settings) -> str:
    """Where clients on this machine reach the recommendations."""
    host = "127.0.0.1" if settings.http_host in ("", "0.0.0.0", "::") else settings.http_host  # noqa: S104
    return f"http://{host}:{settings.http_port}"


def was_served(var_dir: Path) -> bool:
    """Whether the application was deployed on the Ray that runs."""
    return (var_dir / "run" / "serve").exists()


def is_serving(settings: Settings) -> bool:
    """Whether the application was deployed and answers."""
    return was_served(settings.var_dir) and health(settings) is None


def health(settings: Settings, *, timeout_s: float = 3.0) -> str | None:
    """What is wrong with the deployed application; None where it is healthy."""
    try:
        httpx.get(f"{serving_url(settings)}/health", timeout=timeout_s, trust_env=False).raise_for_status()
    except httpx.HTTPError as exc:
        return str(exc).partition("\n")[0] or type(exc).__name__
    return None


def forget_serving(var: Var) -> None:
    """The Ray that it was deployed on is gone."""
    (var.root / "run" / NAME).unlink(missing_ok=True)
    var.set_addresses({"http_port": None, "ray_auth_token": None})


def _note(settings: Settings) -> Path:
    return settings.var_dir / "run" / NAME
