"""Learners under a new key in Parquet: whoever knew the old pseudonyms does not know the new ones.

The new key is the current one already when this runs. Releases keep their own key until they are retired, so the old
one must stay on the ring until then; features are made anew by the next build_features.
"""

import pyarrow as pa

from app.adapters.keyring import load_keyring
from app.settings import Settings
from jobs import personal_files, stores
from jobs.artefacts import RECOMMENDATIONS
from jobs.event_files import EVENTS
from jobs.ingest_events import JOB as INGEST
from jobs.job import JobResult, JobSpec

JOB = "rotate_pseudonyms"
INGEST_S = 600.0


class Spec(JobSpec):
    """Nothing to choose: the first key is the one to go by."""


def run(spec: Spec, settings: Settings) -> JobResult:  # noqa: ARG001  # every job has a spec
    """Again changes nothing. Raises Conflict: events are being taken in for minutes; Unavailable: a store is away."""
    ring, store = load_keyring(settings), stores.objects(settings)
    with stores.warehouse(settings) as warehouse, warehouse.exclusive(INGEST, wait_s=INGEST_S):
        users: pa.Table = warehouse.read("users")
        new_names = {
            old: ring.current.of(user_id)
            for user_id in users["user_id"].to_pylist()
            for old in (user_id, *(key.of(user_id) for key in ring.keys[1:]))
        }
        counts = {
            "learners": float(len(users)),
            "event_files": float(personal_files.rename(store, EVENTS, new_names)),
            "recommendation_files": float(personal_files.rename(store, RECOMMENDATIONS.root, new_names)),
        }
    return JobResult(JOB, ring.current.name, counts)
