"""A log on a topic of Kafka: what is appended is on all in-sync replicas; consumers move by group and partition."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import repeat
from typing import Any, Self

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata, TopicPartition

from app.adapters.kafka_client import KafkaAccess, translated
from app.adapters.kafka_partitions import partitions_of
from app.errors import DeadlineExceeded, Unavailable
from app.ports.entry_log import Entries

LINGER_MS = 5
BATCH_BYTES, FETCH_BYTES = 256 * 1024, 8 * 2**20
TRACEPARENT = "traceparent"
"""The header of an entry that is of a trace."""

_POLL_MS = 200
_CLOSE_S = 2.0


class KafkaLog:
    """Implements `app.ports.entry_log.EntryLog`; a context manager that closes its connections.

    A position is `{partition}-{offset}`, the offset in 19 digits. Nothing is asked of a broker before the first call.
    """

    def __init__(self, access: KafkaAccess, topic: str, *, timeout_s: float = 10.0) -> None:
        self._access, self._topic, self._timeout_s = access, topic, timeout_s
        self._producer: KafkaProducer | None = None
        self._consumers: dict[str | None, Any] = {}  # the stubs that pyright knows are of kafka-python 2
        self._making, self._reading = threading.Lock(), threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._producer is not None:
            self._producer.close(timeout=_CLOSE_S)
        for consumer in self._consumers.values():
            with suppress(KafkaError):
                consumer.close(autocommit=False, timeout_ms=round(_CLOSE_S * 1000))

    def append(self, values: Sequence[bytes], *, keys: Sequence[str], traces: Sequence[str | None] = ()) -> None:
        with translated():
            producer = self._open_producer()
            encoded = [key.encode() for key in keys]
            places = partitions_of(encoded, len(producer.partitions_for(self._topic)))
            headers = map(_headers, traces) if traces else repeat(None, len(values))
            sent = [
                producer.send(self._topic, value=value, key=key, partition=place, headers=header)
                for value, key, place, header in zip(values, encoded, places, headers, strict=True)
            ]
            deadline = time.monotonic() + self._timeout_s + 1.0  # the producer itself gives up at its own time-out
            for future in sent:
                future.get(timeout=max(0.0, deadline - time.monotonic()))

    def read(self, *, group: str, partition: str, limit: int) -> Entries:
        topic_partition = TopicPartition(self._topic, int(partition))
        with translated(), self._reading:
            consumer = self._consumer(group)
            start, end = self._to_do(consumer, [topic_partition])[topic_partition]
            return self._fetched(consumer, topic_partition, start, min(end, start + limit))

    def commit(self, *, group: str, partition: str, position: str) -> None:
        topic_partition = TopicPartition(self._topic, int(partition))
        with translated(), self._reading:
            offsets = {topic_partition: OffsetAndMetadata(_offset(position) + 1, "", -1)}
            self._consumer(group).commit(offsets, timeout_ms=self._timeout_ms)

    def replay(self, *, since: datetime, limit: int) -> Iterator[Entries]:
        with translated(), self._reading:
            consumer = self._consumer(None)
            places = self._partitions(consumer)
            moment = round(since.timestamp() * 1000)
            starts = consumer.offsets_for_times(dict.fromkeys(places, moment), timeout_ms=self._timeout_ms)
            ends = consumer.end_offsets(places, timeout_ms=self._timeout_ms)
        for place in places:
            found = starts.get(place)
            at = ends[place] if found is None else found.offset
            while at < ends[place]:
                with translated(), self._reading:
                    entries = self._fetched(consumer, place, at, min(ends[place], at + limit))
                at = _offset(entries.positions[-1]) + 1
                yield entries

    def lag(self, *, group: str) -> dict[str, int]:
        with translated(), self._reading:
            consumer = self._consumer(group)
            places = self._partitions(consumer)
            to_do = self._to_do(consumer, places)
        return {str(place.partition): end - start for place, (start, end) in to_do.items()}

    @property
    def _timeout_ms(self) -> int:
        return round(self._timeout_s * 1000)

    def _open_producer(self) -> KafkaProducer:
        with self._making:
            if self._producer is None:
                self._producer = KafkaProducer(
                    **self._access.options(timeout_s=self._timeout_s / 2),
                    acks="all",
                    enable_idempotence=True,
                    compression_type="lz4",
                    linger_ms=LINGER_MS,
                    batch_size=BATCH_BYTES,
                    max_block_ms=self._timeout_ms,
                    delivery_timeout_ms=self._timeout_ms,
                    allow_auto_create_topics=False,
                )
            return self._producer

    def _consumer(self, group: str | None) -> Any:
        if group not in self._consumers:
            reading = {"auto_offset_reset": "none", "max_partition_fetch_bytes": FETCH_BYTES, "metrics_enabled": False}
            self._consumers[group] = KafkaConsumer(
                **self._access.options(timeout_s=self._timeout_s),
                **reading,
                group_id=group,
                enable_auto_commit=False,
                allow_auto_create_topics=False,
            )
        return self._consumers[group]

    def _partitions(self, consumer: Any) -> list[TopicPartition]:
        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise Unavailable("event log", f"there is no topic {self._topic}: `learnrec events setup` makes it")
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]

    def _to_do(self, consumer: Any, places: list[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """The offset that the consumer's group comes to next, and the end, of each place."""
        begins = consumer.beginning_offsets(places, timeout_ms=self._timeout_ms)
        ends = consumer.end_offsets(places, timeout_ms=self._timeout_ms)
        done = {place: consumer.committed(place, timeout_ms=self._timeout_ms) for place in places}
        return {
            # What is committed may be gone by age, or be of a topic that was made anew since.
            place: (at if at is not None and begins[place] <= at <= ends[place] else begins[place], ends[place])
            for place, at in done.items()
        }

    def _fetched(self, consumer: Any, place: TopicPartition, start: int, end: int) -> Entries:
        """The entries from `start` to before `end`, all of which the log has. Raises DeadlineExceeded."""
        if start >= end:
            return Entries((), ())
        consumer.assign([place])
        consumer.seek(place, start)
        found: list[Any] = []
        deadline = time.monotonic() + self._timeout_s
        while not found or found[-1].offset < end - 1:
            more = consumer.poll(timeout_ms=_POLL_MS, max_records=end - start - len(found)).get(place, [])
            if more:
                deadline = time.monotonic() + self._timeout_s
            elif time.monotonic() > deadline:
                raise DeadlineExceeded("event log", f"{place}: nothing came for {self._timeout_s:.0f} s")
            found += more
        return Entries(
            values=tuple(record.value or b"" for record in found),
            positions=tuple(f"{place.partition}-{record.offset:019d}" for record in found),
            traces=tuple(trace for record in found if record.headers for trace in _traces(record.headers)),
        )


def _headers(trace: str | None) -> list[tuple[str, bytes]] | None:
    return [(TRACEPARENT, trace.encode())] if trace else None


def _traces(headers: Sequence[tuple[str, bytes]]) -> Iterator[str]:
    return (value.decode("latin-1") for name, value in headers if name == TRACEPARENT)


def _offset(position: str) -> int:
    return int(position.rpartition("-")[2])
