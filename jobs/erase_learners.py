"""Everything that is stored of the learners who asked to be erased, taken out of every store, with a receipt.

A run that is killed is gone on with by the next one: what is gone already is not there to be found again.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from app.adapters import logs
from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.erasures import PostgresErasures
from app.adapters.receipts import Receipts
from app.adapters.redis_features import RedisFeatures
from app.adapters.release_files import RELEASES
from app.errors import Conflict
from app.models.release import LEARNERS_FOLDER
from app.ports.entry_log import RETENTION
from app.settings import Settings
from jobs import personal_files, stores
from jobs.event_files import recover_all
from jobs.ingest_events import JOB as INGEST
from jobs.job import JobResult, JobSpec
from jobs.progress import steps
from jobs.releases import registry

JOB = "erase_learners"
INGEST_S = 600.0
"""For which events that are being taken in are waited for."""

LOG_BATCH = 50_000


class Spec(JobSpec):
    """Nothing to choose: whoever asked is erased."""


def run(spec: Spec, settings: Settings) -> JobResult:  # noqa: ARG001  # every job has a spec
    """Raises Conflict: another run is at it, or events are being taken in for minutes; Unavailable: a store is away."""
    erasures, receipts, keyring = (
        PostgresErasures(settings.need("postgres_url")),
        Receipts(settings),
        load_keyring(settings),
    )
    done: dict[str, int] = {"learners": 0}
    with stores.warehouse(settings) as lock, lock.exclusive(JOB), steps(JOB) as advance:
        while waiting := erasures.unfinished():
            names = {learner: keyring.names_of(user_id) for learner, user_id in waiting.items()}
            with lock.exclusive(INGEST, wait_s=INGEST_S):  # nothing of them is on its way into the stores
                recover_all(stores.objects(settings), lock)
                advance(done["learners"], f"{len(waiting)} learners")
                _take_out(settings, erasures, waiting, names)
            left = personal_files.remaining(stores.objects(settings), names)
            trained = _releases_with(stores.objects(settings), names)
            withheld = _in_log(settings, waiting)
            for learner, user_id in waiting.items():
                found = erasures.find(user_id, keyring)
                assert found is not None
                facts = {
                    "learner": learner,
                    "key": found.key_name,
                    "requested_at": found.requested_at.isoformat(),
                    "removed": dict(found.removed),
                    "remaining": _checked({**_remaining(settings, erasures, user_id), **left[learner]}),
                    "withheld": {"event_log": withheld.get(user_id, 0)},
                    "releases": trained[learner],
                }
                _finish(settings, erasures, receipts, facts)
                done["learners"] += 1
                for store, count in found.removed.items():
                    done[store] = done.get(store, 0) + count
    return JobResult(JOB, f"{done['learners']} learners", {name: float(count) for name, count in done.items()})


def _take_out(
    settings: Settings, erasures: PostgresErasures, waiting: Mapping[str, str], names: Mapping[str, frozenset[str]]
) -> None:
    for learner, user_id in waiting.items():
        erasures.erase_rows(learner, user_id)
        erasures.add_removed(learner, {"redis.keys": asyncio.run(_forget(settings, user_id))})
    for learner, counts in personal_files.take_out(stores.objects(settings), names).items():
        erasures.add_removed(learner, counts)


async def _forget(settings: Settings, user_id: str) -> int:
    async with RedisFeatures(settings.need("redis_url"), timeout_s=60) as features:
        return await features.erase(user_id)


def _remaining(settings: Settings, erasures: PostgresErasures, user_id: str) -> dict[str, int]:
    async def in_redis() -> int:
        async with RedisFeatures(settings.need("redis_url"), timeout_s=60) as features:
            return await features.num_keys(user_id)

    return {**erasures.remaining(user_id), "redis.keys": asyncio.run(in_redis())}


def _checked(remaining: dict[str, int]) -> dict[str, int]:
    if left := {store: count for store, count in remaining.items() if count}:
        told = ", ".join(f"{count} in {store}" for store, count in left.items())
        raise Conflict(f"something was written of an erased learner meanwhile ({told}): run {JOB} again")
    return remaining


def _releases_with(store: ObjectStore, names: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
    """Releases that each learner's events helped to train, by pseudonym."""
    found: dict[str, list[str]] = {learner: [] for learner in names}
    suffix = f"/{LEARNERS_FOLDER}/learners.parquet"
    for file in store.files(RELEASES):
        if file.endswith(suffix):
            known = set(personal_files.names_in(store, f"{RELEASES}/{file}"))
            for learner, of in names.items():
                found[learner] += [file.removesuffix(suffix)] if known & of else []
    return found


def _in_log(settings: Settings, waiting: Mapping[str, str]) -> dict[str, int]:
    """Entries of each learner that the log still holds: they go with its retention, and nothing takes them in."""
    wanted, counts = pa.array(sorted(waiting.values()), pa.string()), dict.fromkeys(waiting.values(), 0)
    with logs.event_log(settings) as log:
        for batch in log.replay(since=datetime.now(UTC) - RETENTION, limit=LOG_BATCH):
            column = batch.events["user_id"]
            theirs = column.filter(pc.call_function("is_in", [column], pc.SetLookupOptions(wanted)))
            for pair in theirs.value_counts().to_pylist():
                counts[pair["values"]] += pair["counts"]
    return counts


def _finish(settings: Settings, erasures: PostgresErasures, receipts: Receipts, facts: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    if facts["releases"]:
        with registry(settings) as known:
            known.mark_erased(facts["releases"], facts["learner"], at=now.isoformat())
    gone_by = (now + RETENTION).isoformat() if facts["withheld"]["event_log"] else None
    receipt = receipts.sign({**facts, "version": 1, "finished_at": now.isoformat(), "withheld_until": gone_by})
    erasures.finish(facts["learner"], at=now, receipt=receipt)
