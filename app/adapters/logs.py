"""Which log stands behind the events and the dead letters, from the settings: Kafka where it has an address."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.adapters.dead_letters import DeadLetters
from app.adapters.event_log import EventLog
from app.adapters.redis_log import RedisLog
from app.ports.entry_log import RETENTION
from app.settings import Settings

if TYPE_CHECKING:
    from app.adapters.kafka_log import KafkaLog

STREAM, DEAD_STREAM = "learnrec:events", "learnrec:events:dead"


def event_entries(settings: Settings, *, timeout_s: float = 10.0) -> "KafkaLog | RedisLog":
    """Close it by its context. Raises InvalidInput where there is no address."""
    if settings.kafka_servers:
        return _kafka_log(settings, settings.kafka_topic, timeout_s=timeout_s)
    return RedisLog(settings.need("redis_url"), STREAM, retention=RETENTION, timeout_s=timeout_s)


def dead_entries(settings: Settings) -> "KafkaLog | RedisLog":
    """They are kept until they are tried again. Raises InvalidInput where there is no address."""
    if settings.kafka_servers:
        return _kafka_log(settings, dead_topic(settings))
    return RedisLog(settings.need("redis_url"), DEAD_STREAM)


def dead_topic(settings: Settings) -> str:
    return f"{settings.kafka_topic}-dead"


def _kafka_log(settings: Settings, topic: str, *, timeout_s: float = 10.0) -> "KafkaLog":
    from app.adapters.kafka_client import KafkaAccess
    from app.adapters.kafka_log import KafkaLog  # half a second to import, for those who have Kafka

    return KafkaLog(KafkaAccess.of(settings), topic, timeout_s=timeout_s)


@contextmanager
def event_log(settings: Settings) -> Iterator[EventLog]:
    """The log of events. Raises InvalidInput where there is no address."""
    with event_entries(settings) as entries:
        yield EventLog(entries)


@contextmanager
def dead_letters(settings: Settings) -> Iterator[DeadLetters]:
    """What ingestion set aside. Raises InvalidInput where there is no address."""
    with dead_entries(settings) as entries:
        yield DeadLetters(entries)
