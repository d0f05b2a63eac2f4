"""What `up` does once the engines answer: the schema, the development keys, the Serve application."""

from pathlib import Path

import httpx

from app.settings import Settings
from cluster.stack.var import Var


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


def serve_application(settings: Settings) -> None:
    """Deploy on Ray and wait until it answers. Raises LearnrecError, with Serve's reason."""
    from cluster.deploy import deploy

    deploy(settings)
    _note(settings.var_dir).write_text(serving_url(settings))


def serving_url(settings: Settings) -> str:
    """Where clients on this machine reach the recommendations."""
    host = "127.0.0.1" if settings.http_host in ("", "0.0.0.0", "::") else settings.http_host  # noqa: S104
    return f"{settings.http_scheme}://{host}:{settings.http_port}"


def was_served(var_dir: Path) -> bool:
    """Whether the application was deployed on the Ray that runs."""
    return _note(var_dir).exists()


def is_serving(settings: Settings) -> bool:
    """Whether the application was deployed and answers."""
    return was_served(settings.var_dir) and health(settings) is None


def health(settings: Settings, *, timeout_s: float = 3.0) -> str | None:
    """What is wrong with the deployed application; None where it is healthy."""
    try:
        # Nothing secret is told, and a certificate need not name this machine's loopback.
        ask = httpx.Client(timeout=timeout_s, trust_env=False, verify=False)  # noqa: S501  # see above
        with ask:
            ask.get(f"{serving_url(settings)}/health").raise_for_status()
    except httpx.HTTPError as exc:
        return str(exc).partition("\n")[0] or type(exc).__name__
    return None


def forget_serving(var: Var) -> None:
    """The Ray that it was deployed on is gone."""
    _note(var.root).unlink(missing_ok=True)
    var.set_addresses({"http_port": None, "ray_auth_token": None})


def _note(var_dir: Path) -> Path:
    return var_dir / "run" / "serve"
