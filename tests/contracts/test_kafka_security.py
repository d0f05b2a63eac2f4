"""Kafka that asks who one is, over TLS: what the settings say reaches it, and what is wrong is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr

from app.adapters import logs
from app.adapters.kafka_topics import ensure_topics
from app.errors import Unavailable
from app.settings import Settings
from cluster.stack.engine import LOOPBACK
from cluster.stack.engines.kafka import KafkaEngine
from cluster.stack.ports import free_ports
from tests import rows
from tests.conftest import require_kafka
from tests.engines import running

USER, PASSWORD = "recommender", "not easily guessed"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@dataclass(frozen=True)
class SecureKafkaEngine(KafkaEngine):
    """A broker with one more door: SASL/PLAIN over TLS; by the usual one it is asked whether it is up."""

    identity: Path = Path()  # PEM: key and certificate
    secure_port: int = field(default_factory=lambda: free_ports(1)[0])

    def _settings(self) -> dict[str, str]:
        usual = super()._settings()
        door = f"SASL_SSL://{LOOPBACK}:{self.secure_port}"
        return {
            **usual,
            "listeners": f"{usual['listeners']},{door}",
            "advertised.listeners": f"{usual['advertised.listeners']},{door}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{_PLAIN} required user_{USER}="{PASSWORD}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.identity),
        }


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def settings(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Of a client that is let in; the topics are made."""
    require_kafka()
    folder = tmp_path_factory.mktemp("secure")
    issued = authority.issue_cert(LOOPBACK)
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    pkcs8 = serialization.PrivateFormat.PKCS8  # the one that Kafka reads
    pem = key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
    (identity := folder / "broker.pem").write_bytes(pem + b"".join(one.bytes() for one in issued.cert_chain_pems))
    (cafile := folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    with running(SecureKafkaEngine, tmp_path_factory.mktemp("kafka"), identity=identity) as engine:
        assert isinstance(engine, SecureKafkaEngine)
        made = Settings(
            kafka_servers=f"{LOOPBACK}:{engine.secure_port}",
            kafka_security_protocol="SASL_SSL",
            kafka_ssl_cafile=cafile,
            kafka_sasl_mechanism="PLAIN",
            kafka_sasl_username=USER,
            kafka_sasl_password=SecretStr(PASSWORD),
        )
        assert ensure_topics(made)
        yield made


def appended(settings: Settings) -> int:
    """How many entries the log has, after one more was sent to it."""
    with logs.event_entries(settings, timeout_s=5) as entries:
        entries.append([b"entry"], keys=["ada"])
        return sum(entries.lag(group="nobody").values())


def test_with_the_right_password_events_go_in_and_come_out(settings: Settings) -> None:
    sent = rows.events(["ada"] * 3, list("xyz"))
    with logs.event_log(settings) as log:
        log.append(sent)
        (home,) = [partition for partition, lag in log.lag(group="readers").items() if lag]
        assert log.read(group="readers", partition=home, limit=10).events.equals(sent)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kafka_sasl_password": SecretStr("guessed")},
        {"kafka_security_protocol": "SSL"},
        {"kafka_ssl_cafile": None},
    ],
    ids=["wrong password", "no name", "unknown authority"],
)
def test_who_is_not_let_in_is_told_so(settings: Settings, wrong: dict[str, object]) -> None:
    with pytest.raises(Unavailable) as caught:
        appended(settings.model_copy(update=wrong))
    assert PASSWORD not in str(caught.value)
    assert "guessed" not in str(caught.value)


def test_a_broker_that_another_authority_signed_for_is_not_trusted(settings: Settings, tmp_path: Path) -> None:
    (cafile := tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
    with pytest.raises(Unavailable):
        appended(settings.model_copy(update={"kafka_ssl_cafile": cafile}))
