"""Made-up events in bulk, for benchmarks: no meaning in them, but the shapes of real ones."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.adapters.object_store import ObjectStore
from app.domain.contents import CONTENT_SCHEMA, CONTENT_TYPES, USER_SCHEMA
from app.domain.events import EVENT_SCHEMA, EVENT_TYPES
from app.domain.ids import uuid_texts
from jobs.event_files import EVENTS, day_folder

NUM_DAYS, DAY_US = 30, 86_400_000_000
START_US = 1_700_006_400_000_000
EVENTS_A_LEARNER, NUM_CONTENTS, NUM_TAGS = 100, 5_000, 40
LEARNERS_FILE, CONTENTS_FILE = "users.parquet", "contents.parquet"


def write_all(folder: Path, num_events: int) -> None:
    """Learners, contents and events, into a folder that is an object store too."""
    users, contents = users_and_contents(num_events)
    pq.write_table(users, folder / LEARNERS_FILE)
    pq.write_table(contents, folder / CONTENTS_FILE)
    write_events(ObjectStore(folder.as_uri()), num_events, users, contents)


def users_and_contents(num_events: int) -> tuple[pa.Table, pa.Table]:
    """USER_SCHEMA and CONTENT_SCHEMA, sorted by id: a learner for every hundred events."""
    rng = np.random.default_rng(1)
    num_users = max(1, num_events // EVENTS_A_LEARNER)
    ids = _ids(rng, num_users)
    users = {
        "user_id": ids,
        "external_id": ids,
        "cohort_tag": pa.array(rng.integers(0, 4, num_users)).cast(pa.string()),
        "created_at": pa.array(np.full(num_users, START_US), pa.timestamp("us", tz="UTC")),
    }
    ids = _ids(rng, NUM_CONTENTS)
    contents = {
        "content_id": ids,
        "external_id": ids,
        "title": ids,
        "type": pa.array([str(CONTENT_TYPES[code]) for code in rng.integers(0, 3, NUM_CONTENTS)]),
        "tags": pa.array([[f"tag{tag}" for tag in rng.integers(0, NUM_TAGS, 2)] for _ in range(NUM_CONTENTS)]),
        "difficulty": pa.array(rng.integers(1, 6, NUM_CONTENTS).astype(np.int8)),
        "created_at": pa.array(START_US - rng.integers(0, 300, NUM_CONTENTS) * DAY_US, pa.timestamp("us", tz="UTC")),
    }
    by_id = pa.table(users, schema=USER_SCHEMA).sort_by("user_id")
    return by_id, pa.table(contents, schema=CONTENT_SCHEMA).sort_by("content_id")


def write_events(store: ObjectStore, num_events: int, users: pa.Table, contents: pa.Table) -> list[str]:
    """A file of EVENT_SCHEMA a day, below EVENTS; contents drawn by a power law. Names of the files."""
    names = []
    sizes = np.full(NUM_DAYS, num_events // NUM_DAYS)
    sizes[: num_events % NUM_DAYS] += 1
    for day, size in enumerate(sizes):
        table = events_of_a_day(int(size), users, contents, seed=100 + day, start_us=START_US + day * DAY_US)
        name = f"{day_folder(table['ts'][0].as_py())}/part-0.parquet"
        path = store.path(f"{EVENTS}/{name}")
        store.filesystem.create_dir(path.rpartition("/")[0])
        pq.write_table(table, path, filesystem=store.filesystem)
        names.append(name)
    return names


def events_of_a_day(size: int, users: pa.Table, contents: pa.Table, *, seed: int, start_us: int) -> pa.Table:
    """EVENT_SCHEMA, in order of time, from `start_us` (Unix microseconds) on."""
    rng = np.random.default_rng(seed)
    content = np.minimum((rng.pareto(0.8, size) * 20).astype(np.int64), len(contents) - 1)
    content = (content * 2_654_435_761) % len(contents)  # the popular ones all over the catalogue
    ts = np.sort(rng.integers(0, DAY_US // 1_000_000, size)) * 1_000_000 + start_us
    kinds = pa.array([str(kind) for kind in EVENT_TYPES])
    columns = {
        "event_id": _ids(rng, size),
        "user_id": users["user_id"].take(pa.array(rng.integers(0, len(users), size))),
        "content_id": contents["content_id"].take(pa.array(content)),
        "event_type": kinds.take(pa.array(rng.choice(4, size, p=(0.6, 0.25, 0.1, 0.05)))),
        "value": pa.nulls(size, pa.float64()),
        "ts": pa.array(ts, pa.timestamp("us", tz="UTC")),
    }
    return pa.table(columns, schema=EVENT_SCHEMA)


def _ids(rng: np.random.Generator, size: int) -> pa.Array:
    return pa.array(uuid_texts(np.frombuffer(rng.bytes(16 * int(size)), np.uint8)))
