"""Topics as the log needs them: partitions, copies and retention."""

from contextlib import closing
from typing import Any

from kafka.admin import KafkaAdminClient

from app.adapters.kafka_client import KafkaAccess, translated
from app.adapters.logs import dead_topic
from app.ports.entry_log import RETENTION
from app.settings import Settings

FOR_EVER = -1


def ensure_topics(settings: Settings, *, timeout_s: float = 30.0) -> tuple[str, ...]:
    """Make those that there are not; returns their names. One that exists stays as it is.

    Raises Unavailable, and InvalidInput where Kafka has no address.
    """
    access = KafkaAccess.of(settings)
    wanted = {
        settings.kafka_topic: _topic(settings, round(RETENTION.total_seconds() * 1000)),
        dead_topic(settings): _topic(settings, FOR_EVER),
    }
    with translated(), closing(KafkaAdminClient(**access.options(timeout_s=timeout_s))) as admin:
        there = admin.list_topics()
        missing = {name: options for name, options in wanted.items() if name not in there}
        if missing:
            arguments: Any = {"new_topics": missing, "wait_for_metadata": True}  # until each partition has a leader
            admin.create_topics(**arguments)
    return tuple(missing)


def _topic(settings: Settings, retention_ms: int) -> dict[str, Any]:
    configs = {
        "retention.ms": str(retention_ms),
        "min.insync.replicas": str(max(1, settings.kafka_replication - 1)),
        "message.timestamp.type": "LogAppendTime",  # a replay begins at a time of arrival
    }
    sizes = {"num_partitions": settings.kafka_partitions, "replication_factor": settings.kafka_replication}
    return {**sizes, "configs": configs}
