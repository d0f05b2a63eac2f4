"""Events into and out of Kafka, each way as a process of its own: our job, and plain loops around kafka-python.

`python -m cluster.bench.intake_ways job | produce FILE SECONDS | consume`, with addresses from the environment; the
last line of the output is JSON: events and seconds.
"""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from app.settings import Settings, load_settings, prepare_process

RIVAL_TOPIC, RIVAL_GROUP = "rival-events", "rival"
BATCH = 50_000
_COLUMNS = ("event_id", "user_id", "content_id", "event_type", "value", "ts_us")
_TABLE = "(event_id uuid, user_id uuid, content_id uuid, event_type text, value double precision, ts_us bigint)"


def produce(settings: Settings, bodies: Path, seconds: float) -> dict[str, float]:
    """Lists of events as JSON, each sent and waited for before the next, by one thread."""
    producer = KafkaProducer(
        bootstrap_servers=settings.need("kafka_servers"), acks="all", enable_idempotence=True, compression_type="lz4"
    )
    batches = [json.loads(line) for line in bodies.read_text().splitlines()]
    began, sent = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        for event in (batch := batches[(sent // 100) % len(batches)]):
            value = {"event_id": str(uuid4()), "ts_us": time.time_ns() // 1000, "value": None, **event}
            producer.send(RIVAL_TOPIC, key=event["user_id"].encode(), value=json.dumps(value).encode())
        producer.flush()
        sent += len(batch)
    elapsed = time.monotonic() - began
    producer.close()
    return {"events": sent, "seconds": elapsed}


def consume(settings: Settings) -> dict[str, float]:
    """Everything in our topic, by COPY into a table and one INSERT, batch after batch; no Parquet."""
    consumer: Any = KafkaConsumer(
        bootstrap_servers=settings.need("kafka_servers"),
        group_id=RIVAL_GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=BATCH,
        max_partition_fetch_bytes=8 * 2**20,
        consumer_timeout_ms=30_000,
    )
    with psycopg.connect(settings.need("postgres_url")) as connection:
        connection.execute(f"DROP TABLE IF EXISTS rival_events; CREATE TABLE rival_events {_TABLE}".encode())
        connection.execute("ALTER TABLE rival_events ADD PRIMARY KEY (event_id)")
        connection.commit()
        places = [TopicPartition(settings.kafka_topic, number) for number in range(settings.kafka_partitions)]
        consumer.assign(places)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(places)
        began, done = time.monotonic(), 0
        while any(consumer.position(place) < ends[place] for place in places):
            polled = consumer.poll(timeout_ms=200, max_records=BATCH)
            rows = [json.loads(record.value) for records in polled.values() for record in records]
            if rows:
                _insert(connection, rows)
                consumer.commit()
                done += len(rows)
        elapsed = time.monotonic() - began
    consumer.close()
    return {"events": done, "seconds": elapsed}


def job(settings: Settings) -> dict[str, float]:
    """`ingest_events`, whole: from the log to Parquet and PostgreSQL."""
    from jobs.runner import run_job

    began = time.monotonic()
    result = run_job("ingest_events", settings)
    return {"events": result.metrics["entries"], "seconds": time.monotonic() - began, **result.metrics}


def _insert(connection: psycopg.Connection[Any], rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    for row in rows:
        text.write("\t".join("\\N" if row[name] is None else str(row[name]) for name in _COLUMNS) + "\n")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE staged {_TABLE} ON COMMIT DROP".encode())
        with cursor.copy("COPY staged FROM STDIN") as copy:
            copy.write(text.getvalue())
        cursor.execute("INSERT INTO rival_events SELECT * FROM staged ON CONFLICT DO NOTHING")
    connection.commit()


def main(way: str, *arguments: str) -> None:
    prepare_process(settings=(settings := load_settings()))
    if way == "produce":
        said = produce(settings, Path(arguments[0]), float(arguments[1]))
    else:
        said = {"consume": consume, "job": job}[way](settings)
    sys.stdout.write(f"{json.dumps(said)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
