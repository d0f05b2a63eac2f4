"""`build_features` on Ray Data against the same features by Polars in one process."""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from app.adapters.object_store import ObjectStore
from app.features.catalogue import Catalogue, LearnerVocabulary
from cluster.bench.events import CONTENTS_FILE, LEARNERS_FILE, write_all
from cluster.bench.measure import machine, measure
from jobs.event_files import EVENTS
from jobs.snapshots import Snapshot

WAYS = ("ray", "polars")
FEATURES = "bench-features"


def compare(sizes: Sequence[int], *, work: Path | None, log: Path, tell: Callable[[str], None]) -> dict[str, Any]:
    """Time both ways for each number of events, each in a fresh process. `work` is where the files lie meanwhile."""
    result: dict[str, Any] = {"machine": machine(), "rows": []}
    log.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="learnrec-bench-", dir=work) as folder:
            tell(f"writing {size:,} events")
            write_all(Path(folder), size)
            for way in WAYS:
                tell(f"{size:,} events by {way}")
                seen = measure("cluster.bench.features", way, folder, log=log / f"features-{way}-{size}.log")
                row = {"num_events": size, "way": way, **seen.answer, "peak_mib": seen.peak_mib}
                result["rows"].append(row)
    return {**result, "ratios": _ratios(result["rows"])}


def _ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Ours over the rival's by size, and how much dearer the greatest size is than the least."""
    seconds = {(row["num_events"], row["way"]): row["seconds"] for row in rows}
    sizes = sorted({size for size, _ in seconds})
    result = {f"ray / polars, {size} events": seconds[size, "ray"] / seconds[size, "polars"] for size in sizes}
    if len(sizes) > 1:
        growth = seconds[sizes[-1], "ray"] / seconds[sizes[0], "ray"]
        result[f"ray, {sizes[-1]} / {sizes[0]} events"] = growth
    return result


def by_ray(folder: Path) -> dict[str, float]:
    """The job's own code, on a local cluster that is started first: its start is told apart."""
    from app.settings import Settings
    from jobs.ray_session import ray_session

    start = time.monotonic()
    with ray_session(Settings(var_dir=folder / "var")):
        ready = time.monotonic()
        build_snapshot(folder)
        done = time.monotonic()
    return {"seconds": done - ready, "start_s": ready - start}


def build_snapshot(folder: Path) -> Snapshot:
    """The features of what `write_all` left in a folder; within a Ray session."""
    from jobs.build_features import Source, build
    from jobs.feature_parts import Indices

    store = ObjectStore(folder.as_uri())
    users, contents = (pq.read_table(folder / name) for name in (LEARNERS_FILE, CONTENTS_FILE))
    indices = Indices(Catalogue.build(contents), LearnerVocabulary.build(users))
    build(store, FEATURES, Source(indices, sorted(store.files(EVENTS)), {}, ""))
    return Snapshot(store.uri_root, FEATURES)


def by_polars(folder: Path) -> dict[str, float]:
    """One process, Polars' own threads."""
    import polars as pl

    from cluster.bench.features_rival import build_with_polars

    start = time.monotonic()
    users, contents = (pl.read_parquet(folder / name) for name in (LEARNERS_FILE, CONTENTS_FILE))
    files = sorted(str(path) for path in (folder / EVENTS).rglob("*.parquet"))
    build_with_polars(files, users=users, contents=contents, out=folder / "polars")
    return {"seconds": time.monotonic() - start, "start_s": 0.0}


if __name__ == "__main__":
    print(json.dumps({"ray": by_ray, "polars": by_polars}[sys.argv[1]](Path(sys.argv[2]))))
