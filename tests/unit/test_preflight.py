"""`learnrec doctor --production`: a good production passes, each defect is found, and no secret is ever shown."""

import re
from collections.abc import Callable
from pathlib import Path

import hcl2
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from typer.testing import CliRunner

from app.errors import InvalidInput
from app.settings import Settings
from cluster.cli import root
from cluster.preflight.examine import examine
from cluster.preflight.hosts import Reach, reach
from cluster.preflight.passwords import weakness
from cluster.stack.doctor import Finding, Verdict
from tests.unit.test_structure import REPOSITORY

PASSWORD, USER_OF_KAFKA = "correct-horse-battery", "learnrec"
POSTGRES = f"postgresql://learnrec:{PASSWORD}@db.example.org:5432/learnrec"
REDIS = f"rediss://:{PASSWORD}@cache.example.org:6379/0"
PSEUDONYMS = "0123456789abcdef0123456789abcdef-of-learners"


def pem(key: object) -> str:
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, kind, serialization.NoEncryption()).decode()  # pyright: ignore[reportAttributeAccessIssue]  # any of them


RECEIPTS = pem(Ed25519PrivateKey.generate())
GOOD = {
    "LEARNREC_VAR_DIR": "/var/lib/learnrec",
    "LEARNREC_POSTGRES_URL": f"{POSTGRES}?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
    "LEARNREC_REDIS_URL": REDIS,
    "LEARNREC_MILVUS_URI": "http://milvus.learnrec-services:19530",
    "LEARNREC_MLFLOW_URI": "https://mlflow.example.org",
    "LEARNREC_OBJECT_STORE": "s3://learnrec-production?region=eu-central-1",
    "LEARNREC_KAFKA_SERVERS": "b-1.kafka.example.org:9096,b-2.kafka.example.org:9096",
    "LEARNREC_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "LEARNREC_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "LEARNREC_KAFKA_SASL_USERNAME": USER_OF_KAFKA,
    "LEARNREC_KAFKA_SASL_PASSWORD": PASSWORD,
    "LEARNREC_KAFKA_REPLICATION": "3",
    "LEARNREC_JWT_JWKS_URL": "https://id.example.org/jwks.json",
    "LEARNREC_JWT_ISSUER": "https://id.example.org",
    "LEARNREC_JWT_AUDIENCE": "learnrec",
    "LEARNREC_FORWARDED_HOPS": "2",
    "LEARNREC_PSEUDONYM_KEYS": PSEUDONYMS,
    "LEARNREC_RECEIPT_KEY": RECEIPTS,
}
SECRETS = (PASSWORD, PSEUDONYMS, RECEIPTS.splitlines()[1], "hunter2")


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes an environment file."""

    def write(told: dict[str, str], *, more: str = "", name: str = "production.env") -> Path:
        lines = [f'{key}="{value}"' if "\n" in value else f"{key}={value}" for key, value in told.items()]
        (path := tmp_path / name).write_text("\n".join(lines) + f"\n{more}\n")
        return path

    return write


def wrong(findings: list[Finding]) -> list[str]:
    return [f"{f.subject}: {f.found} → {f.advice}" for f in findings if f.verdict is Verdict.WRONG]


def notes(findings: list[Finding]) -> list[str]:
    return [f.found for f in findings if f.verdict is Verdict.NOTE]


def changed(**fields: str | None) -> dict[str, str]:
    """GOOD, with these settings changed, or without them (None)."""
    told = GOOD | {f"LEARNREC_{name.upper()}": value for name, value in fields.items() if value is not None}
    return {name: value for name, value in told.items() if fields.get(name[9:].lower(), "") is not None}


def test_a_good_production_passes(written: Callable[..., Path]) -> None:
    findings = examine([written(GOOD)])
    assert not wrong(findings)
    (note,) = notes(findings)
    assert note.startswith("given by value: ")
    assert {"PostgreSQL", "Redis", "Kafka", "Pseudonyms", "Receipts"} <= {f.subject for f in findings if not f.advice}


@pytest.mark.parametrize(
    "name",
    [
        *("postgres_url", "redis_url", "milvus_uri", "mlflow_uri", "object_store", "kafka_servers", "jwt_jwks_url"),
        *("jwt_issuer", "jwt_audience", "pseudonym_keys", "receipt_key", "forwarded_hops", "var_dir"),
        *("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"),
    ],
)
def test_what_is_absent_is_named(name: str, written: Callable[..., Path]) -> None:
    (only,) = wrong(examine([written(changed(**{name: None}))]))
    assert f"LEARNREC_{name.upper()}" in only
    assert "is missing" in only


DEFECTS: list[tuple[dict[str, str | None], str]] = [
    ({"postgres_url": POSTGRES}, "PostgreSQL: db.example.org is outside the cluster, and is talked to without TLS"),
    ({"postgres_url": f"{POSTGRES}?sslmode=prefer"}, "without TLS → add .sslmode=verify-full"),
    ({"postgres_url": "postgresql://u:hunter2/x@db.example.org/l"}, "LEARNREC_POSTGRES_URL cannot be read"),
    ({"postgres_url": POSTGRES.replace("db.example.org", "localhost")}, "localhost is this machine alone"),
    ({"postgres_url": "postgresql:///learnrec?password=hunter2"}, "its host is this machine alone"),
    ({"postgres_url": f"{POSTGRES}?sslmode=require".replace(PASSWORD, "hunter2")}, "has fewer than 12 characters"),
    ({"postgres_url": "postgresql://u@db.example.org/l?sslmode=require"}, "PostgreSQL: no password is asked for"),
    ({"redis_url": REDIS.replace("rediss", "redis")}, "Redis: cache.example.org is outside .* write rediss://"),
    ({"redis_url": "unix:///run/redis.sock"}, "is no redis:// or rediss:// URL"),
    ({"redis_url": f"{REDIS}?ssl_cert_reqs=none"}, "whoever answers is believed"),
    ({"redis_url": "rediss://cache.example.org"}, "Redis: no password"),
    ({"redis_url": "rediss://:change-me@cache.example.org"}, "Redis: the password is the one of an example"),
    ({"redis_url": "rediss://:Password123456!@cache.example.org"}, "that everybody tries first"),
    ({"redis_url": "rediss://:abababababababab@cache.example.org"}, "repeats a few characters"),
    ({"redis_url": f"rediss://:{PASSWORD}@127.0.0.1:6379"}, "127.0.0.1 is this machine alone"),
    ({"milvus_uri": "/var/lib/learnrec/milvus.db"}, "LEARNREC_MILVUS_URI is no URL of a server"),
    ({"milvus_uri": "http://milvus.example.org:19530"}, "Milvus: milvus.example.org is outside"),
    ({"mlflow_uri": "http://mlflow.example.org"}, "MLflow: mlflow.example.org is outside"),
    ({"mlflow_uri": "sqlite:///mlflow.db"}, "LEARNREC_MLFLOW_URI is no URL of a server"),
    ({"object_store": "file:///var/lib/learnrec/objects"}, "Object store: file: is a folder of one machine"),
    ({"object_store": "/var/lib/objects"}, "a path: is a folder"),
    ({"object_store": "s3://AKIA:hunter2@learnrec"}, "credentials stand in its URI"),
    ({"object_store": "s3://l?endpoint_override=minio.example.org:9000&scheme=http"}, "add scheme=https"),
    ({"kafka_security_protocol": "SASL_PLAINTEXT"}, "Kafka: b-1.kafka.example.org is outside"),
    ({"kafka_security_protocol": "PLAINTEXT"}, "LEARNREC_KAFKA_SECURITY_PROTOCOL=SASL_SSL or SSL"),
    ({"kafka_security_protocol": "TLS"}, "LEARNREC_KAFKA_SECURITY_PROTOCOL is refused: Input should be 'PLAINTEXT'"),
    ({"kafka_servers": "kafka.example.org:ninety"}, "is no list of host:port"),
    ({"kafka_sasl_password": "hunter2"}, "Kafka: the password has fewer"),
    ({"jwt_jwks_url": "http://id.example.org/jwks"}, "LEARNREC_JWT_JWKS_URL is refused: String should match"),
    ({"jwt_jwks_url": "http://127.0.0.1:9/jwks"}, "LEARNREC_JWT_JWKS_URL is on this machine alone"),
    ({"jwt_jwks_url": None, "jwt_jwks_path": "/var/lib/learnrec/keys/jwks.json"}, "`learnrec token` signs with"),
    ({"jwt_private_key_path": "/keys/jwt.pem"}, "LEARNREC_JWT_PRIVATE_KEY_PATH is a key for development"),
    ({"jwt_issuer": "learnrec"}, "LEARNREC_JWT_ISSUER is learnrec, that of development tokens"),
    ({"pseudonym_keys": "hunter2"}, "needs keys of 32 characters or more"),
    ({"pseudonym_keys": "change-me-to-thirty-two-characters-or-more"}, "a key is the one of an example"),
    ({"receipt_key": "hunter2"}, "LEARNREC_RECEIPT_KEY holds no private key"),
    ({"receipt_key": pem(generate_private_key(65537, 2048))}, "LEARNREC_RECEIPT_KEY is no Ed25519 key"),
    ({"ray_auth_token": "hunter2"}, "Ray: the token has fewer than 32"),
    ({"forwarded_hops": "0"}, "there is no proxy before us"),
    ({"forwarded_hops": "0", "http_tls_pem": "door.pem"}, "LEARNREC_HTTP_TLS_PEM is relative"),
    ({"forwarded_hops": "eleven"}, "LEARNREC_FORWARDED_HOPS is refused"),
    ({"http_host": "127.0.0.1"}, "LEARNREC_HTTP_HOST is this machine alone"),
    ({"cors_origins": "*"}, "LEARNREC_CORS_ORIGINS"),
    ({"rate_limit": "many"}, "LEARNREC_RATE_LIMIT is 'many'"),
    ({"var_dir": "var"}, "LEARNREC_VAR_DIR is relative"),
    ({"spool_dir": "/tmp/spool"}, "LEARNREC_SPOOL_DIR is /tmp/spool, which is emptied"),
    ({"trace_ratio": "1"}, "100% of requests are traced"),
    ({"otlp_endpoint": "collector:4317"}, "LEARNREC_OTLP_ENDPOINT is refused"),
    ({"redis_ur": REDIS}, "LEARNREC_REDIS_UR means nothing → did you mean LEARNREC_REDIS_URL"),
    ({"nonsense_of_ours": "hunter2"}, "LEARNREC_NONSENSE_OF_OURS means nothing → take it out"),
]


@pytest.mark.parametrize(("change", "said"), DEFECTS, ids=[said for _, said in DEFECTS])
def test_a_defect_is_found_and_nothing_secret_is_said(
    change: dict[str, str | None], said: str, written: Callable[..., Path]
) -> None:
    path = written(changed(**change))

    findings = examine([path])
    printed = CliRunner().invoke(root.app, ["doctor", "--production", str(path)])

    assert any(re.search(said, text) for text in wrong(findings)), wrong(findings)
    assert printed.exit_code == 1
    assert not [secret for secret in SECRETS if secret in printed.output]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("LEARNREC_KAFKA_TOPIC=", "LEARNREC_KAFKA_TOPIC is empty"),
        ("'LEARNREC_KAFKA_TOPIC", "production.env:22 is no line"),
        ("LEARNREC_FORWARDED_HOPS=3", "tells LEARNREC_FORWARDED_HOPS again"),
        ("LEARNRC_REDIS_URL=x", "did you mean LEARNREC_REDIS_URL"),
        ("POSTGRES_PASSWORD=change-me", "POSTGRES_PASSWORD is the one of an example"),
    ],
)
def test_a_line_that_is_none_is_found(more: str, said: str, written: Callable[..., Path]) -> None:
    assert said in "\n".join(wrong(examine([written(GOOD, more=more)])))


def test_the_last_of_several_files_counts(written: Callable[..., Path]) -> None:
    first = written(changed(redis_url="redis://127.0.0.1"), name="all.env")
    assert wrong(examine([first]))
    assert not wrong(examine([first, written({"LEARNREC_REDIS_URL": REDIS}, name="secrets.env")]))


def test_what_cannot_be_seen_from_here_is_named(written: Callable[..., Path], tmp_path: Path) -> None:
    seen = changed(redis_url=None, postgres_url=None, pseudonym_keys=None)
    redis, folder = tmp_path / "redis_url", tmp_path / "secrets"
    redis.write_text(f"redis://:{PASSWORD}@cache.example.org\n")
    folder.mkdir()
    (folder / "LEARNREC_PSEUDONYM_KEYS").write_text("short")
    told = {"LEARNREC_REDIS_URL_FILE": str(redis), "LEARNREC_POSTGRES_URL_FILE": "/run/pg"}

    findings = examine([written(seen | told | {"LEARNREC_SECRETS_DIR": str(folder)})])

    assert any("expected from /run/pg, and not seen here: LEARNREC_POSTGRES_URL" in note for note in notes(findings))
    assert [text.partition(":")[0] for text in wrong(findings)] == ["Redis", "Pseudonyms"]  # what is here is read


@pytest.mark.parametrize("manager", ["LEARNREC_SECRETS_AWS=learnrec/production", "LEARNREC_SECRETS_DIR=/run/secrets"])
def test_a_manager_of_secrets_is_believed_to_hold_them(manager: str, written: Callable[..., Path]) -> None:
    told = {name: value for name, value in GOOD.items() if not any(secret in value for secret in SECRETS)}
    findings = examine([written(told, more=manager)])
    assert not wrong(findings)
    assert any("LEARNREC_POSTGRES_URL" in note and manager.partition("=")[2] in note for note in notes(findings))


def test_the_production_overlay_passes_with_the_secrets_that_terraform_makes(written: Callable[..., Path]) -> None:
    settings = REPOSITORY / "kuberay" / "overlays" / "production" / "settings.env"
    terraform = hcl2.loads((REPOSITORY / "deploy" / "terraform" / "secrets.tf").read_text())
    names = {name.strip('"') for name in terraform["locals"][0]["secrets"]["settings"]}
    names = {name for name in names if name.startswith("LEARNREC_")}
    assert len(names) >= 6

    assert {text.partition(":")[0] for text in wrong(examine([settings]))} == {
        *("PostgreSQL", "Redis", "Kafka", "Pseudonyms", "Receipts"),
    }
    assert not wrong(examine([settings, written({}, more="\n".join(sorted(names)))]))


def test_the_example_of_compose_does_not_pass() -> None:
    found = "\n".join(wrong(examine([REPOSITORY / "deploy" / "compose.env.example"])))
    assert all(f"{name}_PASSWORD is the one" in found for name in ("POSTGRES", "REDIS", "MINIO", "GRAFANA"))


def test_this_process_s_own_environment_is_no_part_of_it(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNREC_REDIS_URL", REDIS)
    assert len(wrong(examine([written(changed(redis_url=None))]))) == 1


def test_a_file_that_is_not_there_is_invalid_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        examine([tmp_path / "none.env"])


def test_a_good_production_exits_with_0_and_asking_needs_files(
    written: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNREC_VAR_DIR", str(tmp_path / "var"))
    good = CliRunner().invoke(root.app, ["doctor", "--production", str(written(GOOD))])
    assert good.exit_code == 0, good.output
    assert "Nothing to mend." in good.output
    assert CliRunner().invoke(root.app, ["doctor", "--ask"]).exit_code == root.EXIT_INVALID


@pytest.mark.parametrize(
    ("host", "far"),
    [
        *[(host, Reach.LOOPBACK) for host in ("127.0.0.1", "::1", "[::1]", "localhost", "0.0.0.0", "", "/run/pg")],
        *[(host, Reach.CLUSTER) for host in ("redis", "redis.learnrec-services", "a.b.svc", "a.b.svc.cluster.local.")],
        *[(host, Reach.PRIVATE) for host in ("10.40.0.7", "db.prod", "x.xn--p1ai")],
        *[(host, Reach.OUTSIDE) for host in ("db.example.org", "8.8.8.8", "learnrec.db.internal")],
    ],
)
def test_how_far_a_host_is(host: str, far: Reach) -> None:
    assert reach(host) is far


def test_long_random_passwords_are_not_weak() -> None:
    assert weakness("9f86d081884c7d659a2feaa0c55ad015") is None


def test_every_setting_that_is_required_exists() -> None:
    from cluster.preflight.examine import REQUIRED

    assert {name for names in REQUIRED.values() for name in names} <= set(Settings.model_fields)
