"""Addresses and secrets, from the environment; the only place that reads it.

Order, first wins: a `LEARNREC_X` variable; the file that `LEARNREC_X_FILE` names; the file LEARNREC_X in
LEARNREC_SECRETS_DIR; LEARNREC_X in the JSON of the AWS secret LEARNREC_SECRETS_AWS; the addresses that `learnrec up`
wrote to `VAR/run/addresses.json` for the engines it started; the default. A service whose address is told in one of
the first ways is external: `up` does not start it.
"""

import json
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)
from typing_extensions import override

from app.errors import InvalidInput, LearnrecError, without_secrets
from app.secret_sources import NamedFiles, of_aws

# What every process needs before it imports TensorFlow, Ray or MLflow: driver, workers, replicas, engines and tests.
PROCESS_ENVIRONMENT = {
    "TF_USE_LEGACY_KERAS": "1",  # tensorflow-recommenders 0.7 refuses Keras 3
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "-1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else `uv run` uploads the working directory
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # else 15: replicas and trainers would wait for everything else on the machine
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # alone it leaves worker nodes without a proxy: pair it with HAProxy
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(64 * 2**20),
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # a report waits for the next check; 2 s would be added to each
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own tables: jobs show their progress themselves
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # sweeps keep their trials themselves
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # jobs say where their run is
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",  # else uploads come in chunks that only AWS itself takes
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    "GIT_PYTHON_REFRESH": "quiet",
    "OMP_WAIT_POLICY": "PASSIVE",  # spinning threads starve each other where processes outnumber cores
}


class Settings(BaseSettings):
    """Every address, path and secret; field `x` is the variable `LEARNREC_X`."""

    model_config = SettingsConfigDict(env_prefix="LEARNREC_", extra="forbid", frozen=True)

    var_dir: Path = Field(default=Path("var"), description="folder of everything that the embedded engines keep")
    postgres_url: str | None = Field(default=None, description="postgresql://user:password@host:port/database")
    redis_url: str | None = Field(default=None, description="redis://host:port/0")
    milvus_uri: str | None = Field(default=None, description="http://host:port")
    mlflow_uri: str | None = Field(default=None, description="http://host:port")
    ray_address: str | None = Field(default=None, description="host:port of the Ray head's GCS")
    object_store: str | None = Field(default=None, description="URI that pyarrow.fs opens; default: VAR/objects")

    spool_dir: Path | None = Field(
        default=None, description="where events wait while the log is away; default: VAR/spool"
    )
    spool_max_mb: int = Field(default=1024, ge=1, description="MiB of events that may wait there")
    xapi_mapping: Path | None = Field(default=None, description="TOML that says what more xAPI statements become")
    kafka_servers: str | None = Field(
        default=None, description="host:port,…: events go through Kafka; without it, through Redis"
    )
    kafka_topic: str = Field(default="user-events", description="of events; what is set aside goes to NAME-dead")
    kafka_partitions: int = Field(default=6, ge=1, description="of the topic, where `events setup` makes it")
    kafka_replication: int = Field(default=1, ge=1, description="brokers that keep each entry, where it makes it")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_ssl_cafile: Path | None = None
    kafka_ssl_certfile: Path | None = None
    kafka_ssl_keyfile: Path | None = None
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None

    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8000, ge=1, le=65535)
    http_tls_pem: Path | None = Field(
        default=None, description="PEM of certificate, chain and key, absolute: the door speaks TLS"
    )
    retrieval_backend: Literal["milvus", "faiss"] = "milvus"
    request_timeout_ms: int = Field(default=200, ge=10, description="the budget of one request, in milliseconds")
    rate_limit: str = Field(
        default="600/minute", description="requests a subject may make, as the `limits` library reads it"
    )
    rate_limit_address: str = Field(default="6000/minute", description="requests from one address, likewise")
    cors_origins: str | None = Field(
        default=None, description="https://…,…: pages of these origins may ask from a browser; default: none"
    )
    forwarded_hops: int = Field(
        default=0, ge=0, le=10, description="proxies of ours that add to X-Forwarded-For; 0: addresses are not known"
    )

    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="http://host:4318: traces go there by OTLP; default: none",
    )
    trace_ratio: float = Field(
        default=0.05, ge=0, le=1, description="share of requests that are traced, where their caller has not decided"
    )
    slow_request_ms: int = Field(
        default=500, ge=1, description="requests that take longer are told in the log, with the time of every stage"
    )

    jwt_jwks_path: Path | None = Field(default=None, description="public keys (JWKS); default: VAR/keys/jwks.json")
    jwt_jwks_url: str | None = Field(
        default=None,
        pattern=r"^(https://|http://(127\.0\.0\.1|localhost)[:/])",
        description="public keys of an identity provider: https://…, instead of the file",
    )
    jwt_private_key_path: Path | None = Field(
        default=None, description="development signing key; default: VAR/keys/jwt.pem"
    )
    pseudonym_keys: SecretStr | None = Field(
        default=None,
        description="secrets of 32 characters or more, newest first, comma between: learners' pseudonyms in Parquet, "
        "releases and logs; default: VAR/keys/pseudonyms, made where objects are kept in VAR too",
    )
    receipt_key: SecretStr | None = Field(
        default=None,
        description="Ed25519 key, PEM, that signs receipts of erasures; default: VAR/keys/receipts.pem, made likewise",
    )
    jwt_issuer: str = "learnrec"
    jwt_audience: str = "learnrec"
    ray_auth_token: SecretStr | None = None

    secrets_dir: Path | None = Field(default=None, description="folder of files named after variables, /run/secrets")
    secrets_aws: str | None = Field(default=None, description="name or ARN of an AWS secret: JSON of variables")

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(env_settings, EnvSettingsSource)
        told, sources = env_settings.env_vars, [init_settings, env_settings, NamedFiles(settings_cls)]
        if folder := told.get("learnrec_secrets_dir"):
            sources.append(SecretsSettingsSource(settings_cls, folder))
        if name := told.get("learnrec_secrets_aws"):
            sources.append(of_aws(settings_cls, name))
        return tuple(sources)

    @override
    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Without passwords: settings end up in logs and tracebacks."""
        for name, value in super().__repr_args__():
            yield name, without_secrets(value) if isinstance(value, str) else value

    @property
    def object_store_uri(self) -> str:
        return self.object_store or (self.var_dir.resolve() / "objects").as_uri()

    @property
    def http_scheme(self) -> str:
        return "https" if self.http_tls_pem else "http"

    @property
    def spool_path(self) -> Path:
        return (self.spool_dir or self.var_dir / "spool") / "events.db"

    @property
    def pseudonym_keys_path(self) -> Path:
        return self.var_dir / "keys" / "pseudonyms"

    @property
    def receipt_key_path(self) -> Path:
        return self.var_dir / "keys" / "receipts.pem"

    @property
    def jwks_path(self) -> Path:
        return self.jwt_jwks_path or self.var_dir / "keys" / "jwks.json"

    @property
    def private_key_path(self) -> Path:
        return self.jwt_private_key_path or self.var_dir / "keys" / "jwt.pem"

    def need(self, field: str) -> str:
        """The address in `field`; Raises InvalidInput, with what to do, where there is none."""
        value = getattr(self, field)
        if value is None:
            raise InvalidInput(
                f"no address for {field}: start the embedded engines with `learnrec up`, "
                f"or set LEARNREC_{field.upper()} ({type(self).model_fields[field].description})"
            )
        return str(value)


def addresses_path(var_dir: Path) -> Path:
    return var_dir / "run" / "addresses.json"


def load_settings(*, embedded: bool = True, var_dir: Path | None = None) -> Settings:
    """Settings of this process. Without `embedded`, only what the environment says: what is external.

    With `var_dir`, of the embedded stack that lives there, whatever the environment says of addresses.
    Raises InvalidInput: a variable that does not validate.
    """
    try:
        external = Settings() if var_dir is None else Settings.model_construct({"var_dir"}, var_dir=var_dir)
        if not embedded:
            return external
        path = addresses_path(external.var_dir)
        started = json.loads(path.read_text()) if path.exists() else {}
        if "ray_auth_token" in started:
            started["ray_auth_token"] = SecretStr(started["ray_auth_token"])
        return external.model_copy(update={k: v for k, v in started.items() if k not in external.model_fields_set})
    except LearnrecError:
        raise
    except (OSError, UnicodeDecodeError, SettingsError) as exc:
        raise InvalidInput(f"a secret cannot be read: {exc}") from exc
    except ValidationError as exc:
        faults = "; ".join(f"LEARNREC_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in exc.errors())
        raise InvalidInput(f"the environment does not validate: {faults}") from exc


def known_variables() -> set[str]:
    names = {f"LEARNREC_{name.upper()}" for name in Settings.model_fields}
    return names | {f"{name}_FILE" for name in names}


def unknown_variables() -> list[str]:
    """Variables that look like ours but mean nothing, such as a misspelt one; without what engines are marked with."""
    known = known_variables() | {"LEARNREC_STACK", "LEARNREC_ENGINE"}
    return sorted(name for name in os.environ if name.startswith("LEARNREC_") and name not in known)


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables that carry `settings` into another process."""
    chosen = settings.model_dump(exclude_none=True)
    plain = {k: v.get_secret_value() if isinstance(v, SecretStr) else str(v) for k, v in chosen.items()}
    return {f"LEARNREC_{name.upper()}": value for name, value in plain.items()}


ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's switch for its usual ways on a Mac, where 127.0.0.1 stays 127.0.0.1: else daemons and workers listen on all
interfaces, and clients look for them at the machine's other address."""


def ray_environment(settings: Settings) -> dict[str, str]:
    """What clients of this Ray need before they import it."""
    here = (settings.ray_address or "").startswith("127.0.0.1:")
    return ray_authentication(settings) | (ON_LOOPBACK if here else {})


def ray_authentication(settings: Settings) -> dict[str, str]:
    """How Ray's daemons and clients know each other; Ray reads it when it is imported."""
    if settings.ray_auth_token is None:
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": settings.ray_auth_token.get_secret_value()}


def prepare_process(
    environment: MutableMapping[str, str] | None = None, *, settings: Settings | None = None
) -> MutableMapping[str, str]:
    """Set PROCESS_ENVIRONMENT where the user has not; call it first in every entry point.

    With `settings`, before anything imports Ray, also what Ray's clients need to be let in.
    """
    target = os.environ if environment is None else environment
    for name, value in PROCESS_ENVIRONMENT.items():
        target.setdefault(name, value)
    if settings is not None:
        target.update(ray_environment(settings))
    return target


def environment_for(var_dir: Path) -> dict[str, str]:
    """The environment of a command on the embedded stack in `var_dir`: none of the user's own addresses reach it."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LEARNREC_")}
    return {**prepare_process(plain), "LEARNREC_VAR_DIR": str(var_dir)}


def child_environment(settings: Settings, **extra: str) -> dict[str, str]:
    """The environment for an engine or a worker: this process's own, what all need, and `settings`."""
    return {**prepare_process(dict(os.environ), settings=settings), **environment_of(settings), **extra}
