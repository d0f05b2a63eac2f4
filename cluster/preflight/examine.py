"""What is missing or wrong in the environment files of a production, before it is deployed."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from app.errors import InvalidInput
from app.serving.limits import Limit
from app.settings import Settings, known_variables
from cluster.preflight.ask import ask as asked
from cluster.preflight.hosts import Reach, host_of, reach
from cluster.preflight.passwords import by_value, keys, placeholders
from cluster.preflight.stores import stores
from cluster.preflight.told import PREFIX, SECRET_FIELDS, Told, read, variable
from cluster.stack.doctor import Finding, Verdict

REQUIRED = {
    "PostgreSQL": ("postgres_url",),
    "Redis": ("redis_url",),
    "Milvus": ("milvus_uri",),
    "MLflow": ("mlflow_uri",),
    "Object store": ("object_store",),
    "Kafka": ("kafka_servers",),
    "Tokens": ("jwt_jwks_url", "jwt_jwks_path"),
    "Tokens: issuer": ("jwt_issuer",),
    "Tokens: audience": ("jwt_audience",),
    "Pseudonyms": ("pseudonym_keys",),
    "Receipts": ("receipt_key",),
    "Proxies": ("forwarded_hops",),
    "VAR": ("var_dir",),
}
"""What must be told, any of each; each has a default for a laptop, which nobody means in production."""

MOST_TRACED = 0.2
OF_DEVELOPMENT = "learnrec"
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  # to warn of them
_SHORT_OF = {"jwt_issuer": "the `iss` of your provider's tokens", "jwt_audience": "the `aud` of its tokens for us"}


def examine(paths: Sequence[Path], *, ask: bool = False, timeout_s: float = 3.0) -> list[Finding]:
    """All findings. Nothing is contacted, unless with `ask`: then every address is, and AWS for its secret.

    Raises InvalidInput: a file cannot be read.
    """
    told = read(paths, ask=ask)
    settings, refused = told.settings()
    told_elsewhere = {name for name in Settings.model_fields if variable(name) in told.elsewhere}
    findings = [
        *_of_the_files(told, refused),
        *_missing(told),
        *stores(settings, told_elsewhere=told_elsewhere),
        *_tokens(settings, told),
        *keys(settings),
        *_door(settings, told),
        *_house(settings, told),
        *placeholders(told),
        *by_value(told, settings),
    ]
    if ask:
        findings += asked(settings, timeout_s=timeout_s)
    return list(dict.fromkeys(findings))


def _of_the_files(told: Told, refused: dict[str, str]) -> Iterator[Finding]:
    known = known_variables()
    for fault in told.faults:
        yield Finding(Verdict.WRONG, "Variables", f"{fault.where} {fault.found}", fault.advice)
    for name in sorted({*told.values, *told.elsewhere}):
        nearest = get_close_matches(name, known, n=1, cutoff=0.8)
        if name not in known and (name.startswith(PREFIX) or nearest):
            advice = f"did you mean {nearest[0]}?" if nearest else "take it out: app/settings.py has all of them"
            yield Finding(Verdict.WRONG, "Variables", f"{name} means nothing", advice)
    for name, reason in refused.items():
        described = Settings.model_fields[name.removeprefix(PREFIX).lower()].description
        yield Finding(Verdict.WRONG, "Variables", f"{name} is refused: {reason}", described or "")
    by_place: dict[str, list[str]] = {}
    for name, place in told.elsewhere.items():
        if name in known:
            by_place.setdefault(place, []).append(name)
    for place, names in by_place.items():
        found = f"expected from {place}, and not seen here: {', '.join(sorted(names))}"
        yield Finding(Verdict.NOTE, "Secrets", found, "see that it holds them")


def _missing(told: Told) -> Iterator[Finding]:
    for subject, fields in REQUIRED.items():
        if not told.has(*fields):
            names = " or ".join(map(variable, fields))
            meaning = _SHORT_OF.get(fields[0]) or Settings.model_fields[fields[0]].description
            secret = ", or name it in a file of what the secret holds" if fields[0] in SECRET_FIELDS else ""
            yield Finding(Verdict.WRONG, subject, f"{names} is missing", f"set it ({meaning}){secret}")


def _tokens(settings: Settings, told: Told) -> Iterator[Finding]:
    provider = "give the key set of your identity provider: LEARNREC_JWT_JWKS_URL=https://…"
    url, path = settings.jwt_jwks_url, settings.jwt_jwks_path
    if url is not None and reach(host_of(url) or "") is Reach.LOOPBACK:
        yield Finding(Verdict.WRONG, "Tokens", "LEARNREC_JWT_JWKS_URL is on this machine alone", provider)
    elif url is not None:
        yield Finding(Verdict.FINE, "Tokens", f"keys of {url}")
    if path is not None and path.parent == settings.var_dir / "keys":
        yield Finding(Verdict.WRONG, "Tokens", f"{path} holds the key that `learnrec token` signs with", provider)
    if told.has("jwt_private_key_path"):
        found = "LEARNREC_JWT_PRIVATE_KEY_PATH is a key for development: who has it is everybody"
        yield Finding(Verdict.WRONG, "Tokens", found, "take it out; only the provider signs")
    if (
        told.has("jwt_issuer")
        and settings.jwt_issuer == OF_DEVELOPMENT
        and not told.elsewhere.get(variable("jwt_issuer"))
    ):
        found = f"LEARNREC_JWT_ISSUER is {OF_DEVELOPMENT}, that of development tokens"
        yield Finding(Verdict.WRONG, "Tokens", found, f"give {_SHORT_OF['jwt_issuer']}")


def _door(settings: Settings, told: Told) -> Iterator[Finding]:
    """Who is let in front of it, and how they talk."""
    if told.has("forwarded_hops") and settings.forwarded_hops == 0 and not told.has("http_tls_pem"):
        found = "there is no proxy before us (LEARNREC_FORWARDED_HOPS=0), and we speak no TLS"
        yield Finding(Verdict.WRONG, "Proxies", found, "set LEARNREC_HTTP_TLS_PEM, or put a proxy before us")
    if settings.http_tls_pem is not None and not settings.http_tls_pem.is_absolute():
        yield Finding(Verdict.WRONG, "Proxies", "LEARNREC_HTTP_TLS_PEM is relative", "give an absolute path")
    if told.has("http_host") and reach(settings.http_host) is Reach.LOOPBACK and settings.http_host not in _ALL:
        yield Finding(Verdict.WRONG, "Proxies", "LEARNREC_HTTP_HOST is this machine alone", "0.0.0.0 is everybody")
    for origin in filter(None, (settings.cors_origins or "").split(",")):
        if not origin.strip().startswith("https://"):
            found = "LEARNREC_CORS_ORIGINS names what is no https:// origin"
            yield Finding(Verdict.WRONG, "Browsers", found, "name each origin: https://host,…")
    for name in ("rate_limit", "rate_limit_address"):
        try:
            Limit(name, getattr(settings, name), variable=variable(name))
        except InvalidInput as exc:
            what, _, advice = str(exc).rpartition(": ")
            yield Finding(Verdict.WRONG, "Limits", what, advice)


_ALL = ("0.0.0.0", "::", "[::]", "")  # noqa: S104  # every interface; nothing is bound here


def _house(settings: Settings, told: Told) -> Iterator[Finding]:
    """Folders, and what is measured."""
    for name in ("var_dir", "spool_dir"):
        folder: Path | None = getattr(settings, name) if told.has(name) else None
        if folder is None:
            continue
        if not folder.is_absolute():
            found = f"{variable(name)} is relative to wherever a process starts"
            yield Finding(Verdict.WRONG, "VAR", found, "give an absolute path, such as /var/lib/learnrec")
        elif str(folder).startswith(_TEMPORARY):
            found = f"{variable(name)} is {folder}, which is emptied: events wait there while Kafka is away"
            yield Finding(Verdict.WRONG, "VAR", found, "give a folder that lasts, such as /var/lib/learnrec")
    if settings.trace_ratio > MOST_TRACED:
        verdict = Verdict.WRONG if settings.trace_ratio == 1 else Verdict.NOTE
        found = f"{settings.trace_ratio:.0%} of requests are traced (LEARNREC_TRACE_RATIO)"
        yield Finding(verdict, "Traces", found, "0.05 tells enough, and what a caller traces is traced anyway")
    if settings.otlp_endpoint and reach(host_of(settings.otlp_endpoint) or "") is Reach.LOOPBACK:
        found = "LEARNREC_OTLP_ENDPOINT is on this machine alone"
        yield Finding(Verdict.NOTE, "Traces", found, "right only where a collector runs beside every process")
