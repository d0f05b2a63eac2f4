"""Small tables for tests: events, contents and learners that are right in every column."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from app.domain.contents import CONTENT_SCHEMA, USER_SCHEMA
from app.domain.events import EVENT_SCHEMA, event_ids
from app.domain.ids import canonical_id

START = datetime(2026, 3, 30, 22, 0, tzinfo=UTC)


def ids(names: Sequence[str]) -> list[str]:
    return [canonical_id(name) for name in names]


def events(
    users: Sequence[str], contents: Sequence[str], *, kind: str = "view", start: datetime = START, step_s: int = 60
) -> pa.Table:
    """One event a pair, `step_s` seconds apart; under names that become ids."""
    user_ids, content_ids, kinds = ids(users), ids(contents), [kind] * len(users)
    ts = pa.array([start + timedelta(seconds=step_s * i) for i in range(len(users))], pa.timestamp("us", tz="UTC"))
    value = pa.array([0.5 if kind in ("view", "quiz_score") else None] * len(users), pa.float64())
    made = event_ids(user_ids, content_ids, kinds, ts)
    return pa.table([pa.array(made, pa.string()), user_ids, content_ids, kinds, value, ts], schema=EVENT_SCHEMA)


def contents(names: Sequence[str]) -> pa.Table:
    n = len(names)
    created = pa.array([START - timedelta(days=90)] * n, pa.timestamp("us", tz="UTC"))
    titles, tags = [f'{name}: "quoted", and more' for name in names], [["algebra", 'a "b", {c}'], []] * n
    columns = [
        ids(names),
        list(names),
        titles,
        ["video"] * n,
        tags[:n],
        pa.array([3, None] * n, pa.int8())[:n],
        created,
    ]
    return pa.table(columns, schema=CONTENT_SCHEMA)


def users(names: Sequence[str], *, cohort: str | None = "physics-2026", created: datetime = START) -> pa.Table:
    n = len(names)
    moments = pa.array([created] * n, pa.timestamp("us", tz="UTC"))
    return pa.table([ids(names), list(names), pa.array([cohort] * n, pa.string()), moments], schema=USER_SCHEMA)
