"""All that is stored of one learner, for the learner to see."""

import asyncio
from collections.abc import Collection
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pds
from psycopg.rows import dict_row

from app.adapters.object_store import ObjectStore
from app.adapters.postgres.errors import translated
from app.adapters.redis_features import RedisFeatures
from app.domain.events import EVENT_SCHEMA

_USER = """
SELECT user_id::text, external_id, cohort_tag, created_at, last_active_at, opted_out_at FROM users WHERE user_id = %s
"""
_EVENTS = """
SELECT event_id::text, content_id::text, event_type, value, ts FROM events WHERE user_id = %s ORDER BY ts, event_id
"""
_COMPLETIONS = """
SELECT content_id::text, completed_at FROM completions WHERE user_id = %s ORDER BY completed_at, content_id
"""
EVENTS = "learning-events/events"
_SHOWN = ["event_id", "content_id", "event_type", "value", "ts"]


def exported(
    user_id: str, names: Collection[str], *, postgres_url: str, redis_url: str, store: ObjectStore
) -> dict[str, Any]:
    """By store. `names` are those that the learner goes by in Parquet. Raises Unavailable: one does not answer."""
    with translated(), psycopg.connect(postgres_url, options="-c timezone=UTC") as connection:
        cursor = connection.cursor(row_factory=dict_row)
        user = cursor.execute(_USER, [user_id]).fetchone()
        events = cursor.execute(_EVENTS, [user_id]).fetchall()
        completions = cursor.execute(_COMPLETIONS, [user_id]).fetchall()
    known = {event["event_id"] for event in events}
    archived = [event for event in _archived(store, names) if event["event_id"] not in known]
    return {
        "learner": user,
        "events": [*archived, *events],
        "completions": completions,
        "online": asyncio.run(_online(redis_url, user_id)),
    }


def _archived(store: ObjectStore, names: Collection[str]) -> list[dict[str, Any]]:
    """Events in Parquet, in order of time: months that have left PostgreSQL are there alone."""
    files = [store.path(f"{EVENTS}/{name}") for name in store.files(EVENTS) if name.endswith(".parquet")]
    if not files:
        return []
    found = pds.dataset(files, schema=EVENT_SCHEMA, format="parquet", filesystem=store.filesystem)
    theirs = found.to_table(columns=_SHOWN, filter=pc.field("user_id").isin(pa.array(sorted(names), pa.string())))
    return theirs.sort_by([("ts", "ascending"), ("event_id", "ascending")]).to_pylist()


async def _online(redis_url: str, user_id: str) -> dict[str, Any]:
    async with RedisFeatures(redis_url, timeout_s=10) as features:
        return await features.stored_of(user_id)
