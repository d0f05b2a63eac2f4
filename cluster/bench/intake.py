"""Events in and through: `POST /events` into Kafka, and the log into Parquet and PostgreSQL, beside plain loops."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from app.adapters import logs
from app.adapters.kafka_topics import ensure_topics
from app.domain.events import EventType
from app.settings import Settings, environment_for
from cluster.bench.events import DAY_US, EVENTS_A_LEARNER, events_of_a_day, users_and_contents
from cluster.bench.intake_ways import RIVAL_TOPIC
from cluster.bench.load import run_load, wrk
from cluster.bench.measure import Measured, machine, measure
from cluster.bench.served import OPEN_DOORS, Served
from cluster.deploy import undeploy
from cluster.stack.engines.kafka import KafkaEngine
from cluster.stack.ports import free_ports
from cluster.stack.running import alone
from jobs import stores

NUM_BODIES, BODY_EVENTS = 200, 100
CONNECTIONS = 8
WARM_UP_S = 3
NUM_LEARNERS = 10_000

POSTED, PRODUCED = "POST /events", "kafka-python loop"
JOB, LOOP = "ingest_events", "kafka-python loop + COPY"


def compare(num_events: int, seconds: int, *, var_dir: Path, out: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """At least `num_events` go through the log, those included that were posted for `seconds`.

    Raises NotFound: there is no wrk, Java or Maven. LearnrecError: a command failed.
    """
    wrk()
    out.mkdir(parents=True, exist_ok=True)
    with _kafka(var_dir.resolve(), out) as servers:
        served = Served(var_dir.resolve(), out / "events.log", {**OPEN_DOORS, "LEARNREC_KAFKA_SERVERS": servers})
        served.learnrec("down", "--wipe", "--yes")
        try:
            rows = [*_taken(served, seconds, out=out, tell=tell), *_stored(served, num_events, out=out, tell=tell)]
        finally:
            served.learnrec("down")
    return {"machine": machine(), "seconds": seconds, "rows": rows, "ratios": _ratios(rows)}


@contextmanager
def _kafka(var_dir: Path, out: Path) -> Iterator[str]:
    engine = KafkaEngine(home=out / "kafka", port=free_ports(1)[0])
    shutil.rmtree(engine.home / "data", ignore_errors=True)
    environment = environment_for(var_dir)
    with alone(engine, stack=f"{var_dir}/kafka", environment=environment, log=out / "kafka.log"):
        yield engine.address


def _taken(served: Served, seconds: int, *, out: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Lists of 100 events, over HTTP and by a loop of one producer, for so many seconds each."""
    served.learnrec("up", "--no-serve")
    settings, (users, contents) = _settings(served), users_and_contents(NUM_LEARNERS * EVENTS_A_LEARNER)
    with stores.warehouse(settings) as warehouse:
        warehouse.put_users(users)
        warehouse.put_contents(contents)
    for topic in (settings.kafka_topic, RIVAL_TOPIC):
        ensure_topics(settings.model_copy(update={"kafka_topic": topic}))
    bodies = _bodies()
    served.serve({})
    load = {"token": served.token(), "connections": CONNECTIONS, "posted_to": "/events"}
    run_load(served.url(), bodies, seconds=WARM_UP_S, **load)
    tell(f"{POSTED}: lists of {BODY_EVENTS} from {CONNECTIONS} clients for {seconds} s")
    before = served.cpu()
    posted = run_load(served.url(), bodies, seconds=seconds, **load)
    spent = {role: round(value - before[role], 2) for role, value in served.cpu().items()}
    undeploy(settings)
    tell(f"{PRODUCED}: for {seconds} s")
    (file := out / "bodies.jsonl").write_text("\n".join(bodies))
    produced = _way(served, "produce", str(file), str(seconds), out=out)
    ours = {**asdict(posted), "way": POSTED, "per_s": posted.per_s * BODY_EVENTS, "cpu_s": spent}
    return [ours, _row(PRODUCED, produced)]


def _stored(served: Served, num_events: int, *, out: Path, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """All that the log has, into the stores."""
    settings = _settings(served)
    with logs.event_log(settings) as log:
        there = sum(log.lag(group=JOB).values())
        if there < num_events:
            tell(f"{num_events - there:,} more events into the log")
            log.append(_made_up(num_events - there, seed=2))
    rows = []
    for way, name in ((JOB, "job"), (LOOP, "consume")):
        tell(way)
        rows.append(_row(way, _way(served, name, out=out)))
    return rows


def _way(served: Served, *arguments: str, out: Path) -> Measured:
    environment = {**environment_for(served.var_dir), **served.environment}
    log = out / f"events-{arguments[0]}.log"
    return measure("cluster.bench.intake_ways", *arguments, log=log, environment=environment)


def _row(way: str, measured: Measured) -> dict[str, Any]:
    said = measured.answer
    return {"way": way, "per_s": said["events"] / said["seconds"], "peak_mib": measured.peak_mib, **said}


def _settings(served: Served) -> Settings:
    return served.settings().model_copy(update={"kafka_servers": served.environment["LEARNREC_KAFKA_SERVERS"]})


def _made_up(size: int, *, seed: int) -> pa.Table:
    """EVENT_SCHEMA, of the last day."""
    users, contents = users_and_contents(NUM_LEARNERS * EVENTS_A_LEARNER)
    start_us = round(datetime.now(UTC).timestamp() * 1_000_000) - DAY_US
    made = events_of_a_day(size, users, contents, seed=seed, start_us=start_us)
    return made.filter(pc.field("event_type") != str(EventType.QUIZ_SCORE))  # made-up ones have no score


def _bodies() -> list[str]:
    """Lists of events as clients send them: ids and times are made on arrival."""
    sent = _made_up(2 * NUM_BODIES * BODY_EVENTS, seed=1).select(["user_id", "content_id", "event_type"]).to_pylist()
    lists = (sent[at * BODY_EVENTS : (at + 1) * BODY_EVENTS] for at in range(NUM_BODIES))
    return [orjson.dumps(events).decode() for events in lists]


def _ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    rate = {row["way"]: row["per_s"] for row in rows}
    pairs = ((POSTED, PRODUCED), (JOB, LOOP))
    return {f"events/s, {ours} over {rival}": rate[ours] / rate[rival] for ours, rival in pairs}
