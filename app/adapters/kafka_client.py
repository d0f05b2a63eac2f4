"""How every client of Kafka is told where the brokers are and who it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka.errors import KafkaConfigurationError, KafkaError, KafkaTimeoutError

from app.errors import DeadlineExceeded, InvalidInput, Unavailable
from app.settings import Settings

BOOTSTRAP_MS = 5_000
RECONNECT_MOST_MS = 1_000
"""Between two attempts to reach a broker: an outage ends for us a second after it ends."""


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Servers (`host:port,…`) and what kafka-python takes beside them: TLS, SASL."""

    servers: str
    security: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, settings: Settings) -> "KafkaAccess":
        """Raises InvalidInput: there is no address."""
        password = settings.kafka_sasl_password
        security = {
            "security_protocol": settings.kafka_security_protocol,
            "ssl_cafile": settings.kafka_ssl_cafile,
            "ssl_certfile": settings.kafka_ssl_certfile,
            "ssl_keyfile": settings.kafka_ssl_keyfile,
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
        given = {name: str(value) for name, value in security.items() if value is not None}
        return cls(settings.need("kafka_servers"), given)

    def options(self, *, timeout_s: float) -> dict[str, Any]:
        """For a producer, a consumer or an administrator."""
        return {
            "bootstrap_servers": self.servers.split(","),
            "client_id": "learnrec",
            "bootstrap_timeout_ms": min(BOOTSTRAP_MS, round(timeout_s * 1000)),
            "request_timeout_ms": round(timeout_s * 1000),
            "reconnect_backoff_max_ms": RECONNECT_MOST_MS,
            **self.security,
        }


@contextmanager
def translated() -> Iterator[None]:
    """Kafka's errors as ours."""
    try:
        yield
    except KafkaConfigurationError as exc:
        raise InvalidInput(f"Kafka's client refuses its settings (LEARNREC_KAFKA_…): {exc}") from exc
    except KafkaTimeoutError as exc:
        raise DeadlineExceeded("event log", str(exc) or "no answer in time") from exc
    except (KafkaError, OSError) as exc:
        raise Unavailable("event log", f"{type(exc).__name__}: {exc}") from exc
