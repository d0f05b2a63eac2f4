"""Ranked lists of all learners, or of some, in Parquet: what the service would answer each of them now.

Output, `learning-models/recommendations/{run}/part-….parquet`: user_id, content_id, position, score, source, release.
"""

import csv
import pickle
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from pydantic import Field

from app.adapters.keyring import load_keyring
from app.domain.ids import canonical_ids
from app.domain.releases import PRODUCTION, STAGING, Manifest
from app.errors import InvalidInput, NotFound
from app.settings import Settings
from jobs import stores
from jobs.artefacts import RECOMMENDATIONS, Plan, plan
from jobs.bulk import COUNTS, ERROR, BulkTask, Recommender
from jobs.job import JobResult, JobSpec
from jobs.progress import steps
from jobs.ray_session import free_cpus, ray_session
from jobs.releases import find_release, registry
from jobs.tracking import tracked

ALL = "all"
COLUMN = "user_id"
MAX_SHOWN = 5


class Spec(JobSpec):
    """For whom, by which release, and how it is spread."""

    release: str = Field(default=PRODUCTION, description="an alias (production, staging), or a release's id")
    k: int = Field(default=100, ge=1, le=1_000, description="contents for each learner")
    num_candidates: int = Field(
        default=100, ge=1, le=1_000, description="contents that the ranker sees for each learner, as in the service"
    )
    learners: str | list[str] = Field(
        default=ALL, description="all, a list of ids, or a file: CSV with a column user_id, or an id a line"
    )
    raw_ids: bool = Field(
        default=False, description="name learners by their ids, for whoever sends the lists; else by pseudonyms"
    )
    batch_size: int = Field(default=256, ge=1, le=10_000, description="learners that are answered together")
    num_actors: int = Field(default=0, ge=0, le=1_000, description="processes with the models; 0: one a free CPU")


def run(spec: Spec, settings: Settings) -> JobResult:
    """Raises NotFound: no such release, or no learner; InvalidInput: ids that are none; Unavailable: a store is away.

    It is done anew each time: what learners did since the last run is no input that could be compared.
    """
    store, now = stores.objects(settings), datetime.now(UTC)
    manifest = _release(spec, settings)
    with stores.warehouse(settings) as warehouse:
        users = warehouse.read("users")
    asked = _learners(spec.learners, users)
    inputs = {"release": manifest.release_id, "now": now.isoformat(timespec="milliseconds")}
    planned = plan(RECOMMENDATIONS, inputs, spec)
    with tracked(settings, RECOMMENDATIONS.job, params=planned.spec, tags=inputs) as track:
        began = time.monotonic()
        with ray_session(settings):
            counts = _recommend(spec, settings, asked, planned=planned, now=now)
        seconds = time.monotonic() - began
        metrics = {
            **{name: float(value) for name, value in counts.items()},
            **_strangers(asked, users),
            "seconds": round(seconds, 2),
            "learners_per_s": round(len(asked) / seconds, 2),
        }
        track.metrics(metrics)
        done = planned.manifest(metrics=metrics, facts={"k": spec.k}, mlflow_run=track.run_id, run_url=track.url)
    RECOMMENDATIONS.publish(store, done, fingerprint=planned.fingerprint)
    return done.result(reused=False)


def _release(spec: Spec, settings: Settings) -> Manifest:
    with registry(settings) as known:
        if spec.release not in (PRODUCTION, STAGING):
            return find_release(known, spec.release)
        aliased = known.aliased(spec.release)
        if aliased is None:
            raise NotFound(f"no release is in {spec.release}: `learnrec release promote` puts one into production")
        return find_release(known, aliased)


def _learners(wanted: str | list[str], users: pa.Table) -> list[str]:
    """Canonical ids, each once, in the order given."""
    if wanted == ALL:
        found = users[COLUMN].to_pylist()
    else:
        outside = wanted if isinstance(wanted, list) else list(_read(Path(wanted)))
        ids, faults = canonical_ids(outside, name=COLUMN)
        if wrong := [f"{text!r} ({fault})" for text, fault in zip(outside, faults, strict=True) if fault]:
            raise InvalidInput(f"{len(wrong)} of {len(ids)} learners have no id: {', '.join(wrong[:MAX_SHOWN])}")
        found = [one for one in ids if one is not None]
    if not found:
        raise NotFound("there are no learners: import some, or name them in `learners`")
    return list(dict.fromkeys(found))


def _read(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidInput(f"cannot read learners from {file}: {exc}; give all, a list of ids, or a file") from exc
    header = [name.strip() for name in rows[0]] if rows else []
    column = header.index(COLUMN) if COLUMN in header else 0
    for row in rows[1:] if COLUMN in header else rows:
        yield row[column] if column < len(row) else ""


def _strangers(asked: list[str], users: pa.Table) -> dict[str, float]:
    """Learners for whom there is no personal answer: not stored, or they do not want one."""
    out = set(users.filter(pc.field("opted_out"))[COLUMN].to_pylist())
    known = set(users[COLUMN].to_pylist())
    return {
        "unknown": float(sum(one not in known for one in asked)),
        "opted_out": float(sum(one in out for one in asked)),
    }


def _recommend(spec: Spec, settings: Settings, asked: list[str], *, planned: Plan, now: datetime) -> dict[str, int]:
    """Counts over all batches."""
    table = pa.table({COLUMN: asked, "number": np.arange(len(asked))})
    batches = [table.slice(at, spec.batch_size) for at in range(0, len(asked), spec.batch_size)]
    free, useful = free_cpus()
    num_actors = min(spec.num_actors or max(1, min(free, useful)), len(batches))
    task = BulkTask(
        settings=settings,
        release_id=planned.inputs["release"],
        folder=planned.folder,
        k=spec.k,
        num_candidates=spec.num_candidates,
        now=now,
        num_threads=max(1, useful // num_actors),
        key=None if spec.raw_ids else load_keyring(settings).current,
    )
    answers = ray.data.from_arrow(batches).map_batches(
        Recommender,
        fn_constructor_args=(task,),
        batch_size=None,  # a block is a batch
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=num_actors),
        num_cpus=1,
    )
    counts = dict.fromkeys(COUNTS, 0)
    with steps("batch_recommend", len(asked)) as advance:
        advance(0, f"{num_actors} actors load release {task.release_id}")
        for batch in cast(Iterable[pa.Table], answers.iter_batches(batch_size=None, batch_format="pyarrow")):
            for error in filter(None, batch[ERROR].to_pylist()):
                raise pickle.loads(error)  # noqa: S301  # one of our own actors wrote it
            for name in counts:
                counts[name] += int(pc.call_function("sum", [batch[name]]).as_py())
            advance(counts["learners"], "learners")
    return counts
