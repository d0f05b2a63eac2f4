"""What is kept, and for how long: old months leave PostgreSQL once Parquet has all of them, old features go.

Also sweeps up after writers that were killed, and makes the partitions of this month and the next one, so that nobody
has to wait for them at midnight.
"""

from datetime import UTC, date, datetime, timedelta

from pydantic import Field

from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.months import PostgresMonths
from app.domain.pseudonyms import PseudonymKey
from app.settings import Settings
from jobs import stores
from jobs.artefacts import FEATURES, MANIFEST
from jobs.event_files import EVENTS, complete_parquet, recover_all
from jobs.job import JobResult, JobSpec
from jobs.progress import steps

JOB = "retention"


class Spec(JobSpec):
    """For how long what is kept."""

    raw_days: int = Field(default=90, ge=31, description="days after which a whole month leaves PostgreSQL")
    aggregate_days: int = Field(default=365, ge=1, description="days after which the runs of build_features go")
    dry_run: bool = Field(default=False, description="only say what would be done")


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises Conflict: another run is at it; Unavailable: a store does not answer."""
    now, store, key = datetime.now(UTC), stores.objects(settings), load_keyring(settings).current
    with (
        stores.warehouse(settings) as lock,
        lock.exclusive(JOB),
        PostgresMonths(settings.need("postgres_url")) as months,
    ):
        if not spec.dry_run:
            months.ensure(now.date().replace(day=1), _next_month(now.date()))
        old = [month for month in months.months() if _next_month(month) <= (now - timedelta(days=spec.raw_days)).date()]
        if old and not spec.dry_run:
            recover_all(store, lock)
        with steps(JOB, total=len(old)) as advance:
            added = 0
            for number, month in enumerate(old):
                advance(number, f"{month:%Y-%m}: from PostgreSQL to Parquet alone")
                if not spec.dry_run:
                    added += archive(months, store, month, key=key)
                    months.drop(month)
    stale = _stale(store, before=now - timedelta(days=spec.aggregate_days))
    if not spec.dry_run:
        for folder in stale:
            store.remove(folder)
        store.sweep(before=now - timedelta(days=1))
    counts = {"months_dropped": len(old), "events_added_to_parquet": added, "feature_runs_removed": len(stale)}
    return JobResult(JOB, "dry run" if spec.dry_run else EVENTS, {name: float(count) for name, count in counts.items()})


def archive(months: PostgresMonths, store: ObjectStore, month: date, *, key: PseudonymKey) -> int:
    """Write what Parquet lacks of the month, day by day; returns how many events that were."""
    days = (_next_month(month) - month).days
    return sum(complete_parquet(store, months.day(month + timedelta(days=number)), key) for number in range(days))


def _stale(store: ObjectStore, *, before: datetime) -> list[str]:
    """Folders of feature runs made before then, but for the latest."""
    runs = {name.partition("/")[0] for name in store.files(FEATURES.folder("")) if name.endswith(f"/{MANIFEST}")}
    manifests = [FEATURES.find(store, run) for run in sorted(runs)]
    latest = max(manifests, key=lambda manifest: manifest.created_at, default=None)
    return [
        FEATURES.folder(manifest.run)
        for manifest in manifests
        if manifest is not latest and datetime.fromisoformat(manifest.created_at) < before
    ]


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
