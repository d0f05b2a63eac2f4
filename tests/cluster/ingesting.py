"""What tests of ingestion share: stores with a log of either kind, events for them, and what arrived where."""

import random
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from app.adapters import logs
from app.adapters.dead_letters import DeadLetter
from app.adapters.kafka_topics import ensure_topics
from app.adapters.object_store import ObjectStore
from app.adapters.parquet import read_tables
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.settings import Settings
from jobs.event_files import EVENTS
from tests import rows

CONTENTS = [f"content {i}" for i in range(20)]
SECRET = "the key of these tests is long enough"
RECEIPT_KEY = (
    Ed25519PrivateKey.generate()
    .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    .decode()
)
_TOPICS = count()


@dataclass
class Stack:
    settings: Settings
    postgres_url: str

    def append(self, events: pa.Table) -> None:
        with logs.event_log(self.settings) as log:
            log.append(events)

    def know(self, contents: list[str]) -> None:
        with PostgresWarehouse(self.postgres_url) as warehouse:
            warehouse.put_contents(rows.contents(contents))

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.settings.object_store_uri)

    def in_parquet(self) -> Counter[str]:
        names = [f"{EVENTS}/{name}" for name in self.store.files(EVENTS)]
        return Counter(read_tables(self.store, names).column("event_id").to_pylist() if names else [])

    def in_postgres(self) -> Counter[str]:
        with psycopg.connect(self.postgres_url) as connection:
            return Counter(str(i) for (i,) in connection.execute("SELECT event_id FROM events"))

    def dead(self) -> list[DeadLetter]:
        with logs.dead_letters(self.settings) as dead:
            return list(dead.waiting())

    def retry(self) -> int:
        with logs.event_entries(self.settings) as log, logs.dead_letters(self.settings) as dead:
            return dead.retry(log)


def stack_with(kind: str, request: pytest.FixtureRequest, clean_postgres: str, tmp_path: Path) -> Stack:
    """`kind`: redis, with a folder for objects, or kafka, with S3."""
    settings = Settings(
        var_dir=tmp_path / "var",
        postgres_url=clean_postgres,
        pseudonym_keys=SecretStr(SECRET),
        receipt_key=SecretStr(RECEIPT_KEY),
    )
    if kind == "kafka":
        of_kafka = {"kafka_topic": f"ingest-{next(_TOPICS)}", "kafka_partitions": 3}
        addresses = {
            "kafka_servers": request.getfixturevalue("kafka_servers"),
            "object_store": request.getfixturevalue("s3_store"),
        }
        settings = settings.model_copy(update={**of_kafka, **addresses})
        ensure_topics(settings)
    else:
        folder = (tmp_path / "objects").as_uri()
        settings = settings.model_copy(
            update={"redis_url": request.getfixturevalue("clean_redis"), "object_store": folder}
        )
    stack = Stack(settings, clean_postgres)
    stack.know(CONTENTS)
    return stack


def many(n: int, *, seed: int = 0) -> pa.Table:
    """Events over some days, in no order of time."""
    rng = random.Random(seed)
    parts = [
        rows.events(
            [f"user {rng.randrange(30)}"],
            [rng.choice(CONTENTS)],
            start=rows.START + timedelta(seconds=rng.randrange(86_400 * 3), microseconds=i),
        )
        for i in range(n)
    ]
    return pa.concat_tables(parts)


def once(events: pa.Table) -> Counter[str]:
    return Counter(events.column("event_id").to_pylist())
