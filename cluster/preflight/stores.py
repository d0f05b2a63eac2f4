"""Whether the stores are told, are those of a production, and are talked to safely."""

from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from app.settings import Settings
from cluster.preflight.hosts import Reach, host_of, reach, transport
from cluster.preflight.passwords import password
from cluster.stack.doctor import Finding, Verdict

OBJECT_STORES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
"""Schemes that all machines of a deployment can open; `file` is a folder of one of them."""

_ENCODE = "it is no URL; in a password, write / ? # @ and : as %2F %3F %23 %40 %3A"


def postgres(url: str) -> Iterator[Finding]:
    subject = "PostgreSQL"
    try:
        parts = conninfo_to_dict(url)
        _ = [int(port) for port in str(parts.get("port") or 5432).split(",")]  # a / in a password ends up here
    except (psycopg.ProgrammingError, ValueError):
        yield Finding(Verdict.WRONG, subject, "LEARNREC_POSTGRES_URL cannot be read", _ENCODE)
        return
    mode = str(parts.get("sslmode") or "prefer")
    for host in str(parts.get("host") or "").split(","):
        advice = "add ?sslmode=verify-full&sslrootcert=FILE to LEARNREC_POSTGRES_URL"
        yield from transport(subject, host, safe=mode in ("require", "verify-ca", "verify-full"), advice=advice)
    if mode == "require":
        found = "sslmode=require: nobody can listen, but whoever answers is believed"
        yield Finding(Verdict.NOTE, subject, found, "better sslmode=verify-full&sslrootcert=FILE")
    if not parts.get("sslcert") and not parts.get("passfile"):
        yield from password(subject, str(parts["password"]) if parts.get("password") else None)


def redis(url: str) -> Iterator[Finding]:
    subject = "Redis"
    parts = urlsplit(url) if host_of(url) is not None else None
    if parts is None or parts.scheme not in ("redis", "rediss"):
        yield Finding(Verdict.WRONG, subject, "LEARNREC_REDIS_URL is no redis:// or rediss:// URL", _ENCODE)
        return
    safe = parts.scheme == "rediss"
    yield from transport(subject, parts.hostname or "", safe=safe, advice="write rediss:// and let it speak TLS")
    if "none" in parse_qs(parts.query.lower()).get("ssl_cert_reqs", ()):
        yield Finding(Verdict.WRONG, subject, "ssl_cert_reqs=none: whoever answers is believed", "take it out")
    yield from password(subject, unquote(parts.password) if parts.password else None)


def over_http(subject: str, name: str) -> Callable[[str], Iterator[Finding]]:
    """For what is reached by http:// or https://."""

    def check(url: str) -> Iterator[Finding]:
        host = host_of(url)
        if host is None or not url.startswith(("http://", "https://")):
            advice = "give http://host:port or https://host; a file is an embedded store"
            yield Finding(Verdict.WRONG, subject, f"{name} is no URL of a server", advice)
            return
        yield from transport(subject, host, safe=url.startswith("https://"), advice=f"write https:// in {name}")

    return check


def objects(uri: str) -> Iterator[Finding]:
    subject, parts = "Object store", urlsplit(uri)
    if parts.scheme not in OBJECT_STORES:
        found = f"{parts.scheme or 'a path'}: is a folder of one machine, or nothing that pyarrow.fs opens"
        yield Finding(Verdict.WRONG, subject, found, "give a bucket, such as s3://BUCKET?region=REGION")
        return
    query = parse_qs(parts.query)
    if parts.username or {"access_key", "secret_key"} & set(query):
        advice = "take them out: the URI is shown; AWS's own variables or the machine's role are used"
        yield Finding(Verdict.WRONG, subject, "credentials stand in its URI", advice)
    if endpoint := query.get("endpoint_override", [""])[0]:
        safe = query.get("scheme", ["https"])[0] == "https"
        yield from transport(subject, host_of(f"//{endpoint}") or "", safe=safe, advice="add scheme=https to its URI")


def kafka(servers: str, settings: Settings, *, told_elsewhere: set[str]) -> Iterator[Finding]:
    subject, protocol = "Kafka", settings.kafka_security_protocol
    safe, hosts = protocol in ("SSL", "SASL_SSL"), [host_of(f"//{server.strip()}") for server in servers.split(",")]
    if None in hosts:
        yield Finding(Verdict.WRONG, subject, "LEARNREC_KAFKA_SERVERS is no list of host:port", "write host:port,…")
    for host in filter(None, hosts):
        yield from transport(subject, host, safe=safe, advice="set LEARNREC_KAFKA_SECURITY_PROTOCOL=SASL_SSL or SSL")
    if protocol.startswith("SASL"):
        needed = ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
        missing = [name for name in needed if getattr(settings, name) is None and name not in told_elsewhere]
        for name in missing:
            found = f"LEARNREC_{name.upper()} is missing, which {protocol} needs"
            yield Finding(Verdict.WRONG, subject, found, "set it, here or in the secret")
        if settings.kafka_sasl_password is not None:
            yield from password(subject, settings.kafka_sasl_password.get_secret_value())
    if settings.kafka_replication < 3:
        found = f"LEARNREC_KAFKA_REPLICATION is {settings.kafka_replication}: what one broker loses may be lost"
        yield Finding(Verdict.NOTE, subject, found, "3 where there are three brokers, before `learnrec events setup`")


def _shown(address: str) -> str:
    """Hosts or bucket alone."""
    before, separator, rest = address.partition("://")
    if not separator:
        return address
    return f"{before}://{rest.partition('?')[0].partition('/')[0].rpartition('@')[2]}"


def stores(settings: Settings, *, told_elsewhere: set[str]) -> Iterator[Finding]:
    """Every store whose address is told here; one of which nothing is said is FINE, with its address."""
    checks: dict[str, tuple[str, Callable[[str], Iterator[Finding]]]] = {
        "postgres_url": ("PostgreSQL", postgres),
        "redis_url": ("Redis", redis),
        "milvus_uri": ("Milvus", over_http("Milvus", "LEARNREC_MILVUS_URI")),
        "mlflow_uri": ("MLflow", over_http("MLflow", "LEARNREC_MLFLOW_URI")),
        "object_store": ("Object store", objects),
        "kafka_servers": ("Kafka", lambda servers: kafka(servers, settings, told_elsewhere=told_elsewhere)),
    }
    for field, (subject, check) in checks.items():
        if (address := getattr(settings, field)) is not None:
            found = list(check(address))
            yield from found or [Finding(Verdict.FINE, subject, _shown(address))]
    if settings.ray_address is not None and reach(settings.ray_address.rpartition(":")[0]) is Reach.LOOPBACK:
        yield Finding(Verdict.NOTE, "Ray", "is on this machine alone", "right for one machine, wrong for a cluster")
    if settings.retrieval_backend == "faiss":
        found = "LEARNREC_RETRIEVAL_BACKEND is faiss: every replica holds all vectors, and Milvus is not asked"
        yield Finding(Verdict.NOTE, "Milvus", found, "leave it out, if that is not meant")
