"""The towers' training by Ray Train against a plain Keras loop in one process: same data, same epochs, same threads."""

import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from app.models.configs import TowersConfig
from cluster.bench.events import write_all
from cluster.bench.features import FEATURES, build_snapshot
from cluster.bench.measure import machine, measure

KERAS, RAY_TRAIN = "keras", "ray train"
TOWERS, ATTEMPTS = "bench-towers", "bench-attempts"
HOLDOUT_SHARE = 0.1


def compare(
    num_events: int, num_epochs: int, *, work: Path | None, log: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Seconds an epoch both ways, each in a fresh process; an epoch ends with its validation and its checkpoint."""
    result: dict[str, Any] = {"machine": machine(), "num_events": num_events, "num_epochs": num_epochs, "rows": []}
    log.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="learnrec-bench-", dir=work) as folder:
        tell(f"making features of {num_events:,} events")
        write_all(Path(folder), num_events)
        measure("cluster.bench.training", "features", folder, log=log / "training-features.log")
        for way in (KERAS, RAY_TRAIN):
            tell(f"{num_epochs} epochs by {way}")
            file = log / f"training-{way.replace(' ', '-')}.log"
            seen = measure("cluster.bench.training", way, folder, str(num_epochs), log=file)
            result["rows"].append({"way": way, **seen.answer, "seconds": seen.seconds, "peak_mib": seen.peak_mib})
    seconds = {row["way"]: row["epoch_s"] for row in result["rows"]}
    result["num_examples"] = result["rows"][0].pop("num_examples")
    return {**result, "ratios": {"ray train / keras, an epoch": seconds[RAY_TRAIN] / seconds[KERAS]}}


def features(folder: Path) -> dict[str, Any]:
    from app.settings import Settings
    from jobs.ray_session import ray_session

    with ray_session(Settings(var_dir=folder / "var")):
        build_snapshot(folder)
    return {}


def by_keras(folder: Path, num_epochs: int) -> dict[str, Any]:
    """A plain loop in this process."""
    from app.models.train_towers import fit_towers
    from jobs.snapshots import Snapshot
    from jobs.towers_loop import Parts, use_threads

    use_threads(os.cpu_count() or 1)
    snapshot, ended = Snapshot(folder.as_uri(), FEATURES), list[float]()
    parts = Parts.of(snapshot.examples(), holdout_share=HOLDOUT_SHARE, seed=_config(num_epochs).seed)
    fit_towers(
        parts.early,
        parts.valid,
        catalogue=snapshot.catalogue(),
        vocabulary=snapshot.vocabulary(),
        config=_config(num_epochs),
        on_epoch=lambda *_: ended.append(time.monotonic()),
    )
    return {**_steady(ended), "num_examples": len(parts.early)}


def by_ray_train(folder: Path, num_epochs: int) -> dict[str, Any]:
    """The job's own code, on a local cluster."""
    from app.settings import Settings
    from jobs.messages import Messages, follow
    from jobs.ray_session import on_cluster, ray_session
    from jobs.snapshots import Snapshot
    from jobs.towers_loop import TowersTask, train_towers

    task = TowersTask(
        snapshot=Snapshot(folder.as_uri(), FEATURES),
        store_uri=folder.as_uri(),
        folder=TOWERS,
        attempts=ATTEMPTS,
        config=_config(num_epochs),
        holdout_share=HOLDOUT_SHARE,
        num_workers=1,
        max_failures=0,
    )
    ended = list[float]()
    with ray_session(Settings(var_dir=folder / "var")):
        messages = Messages()
        follow(
            lambda: on_cluster(train_towers, task, messages),
            messages,
            on_message=lambda _: ended.append(time.monotonic()),
        )
    return _steady(ended)


def _config(num_epochs: int) -> TowersConfig:
    return TowersConfig(num_epochs=num_epochs, patience=num_epochs, max_examples=10**12)


def _steady(ended: list[float]) -> dict[str, Any]:
    """From the end of the first epoch, which traces the graph, to that of the last."""
    epochs = [after - before for before, after in itertools.pairwise(ended)]
    return {"epoch_s": median(epochs), "epochs_s": epochs}


if __name__ == "__main__":
    way, place, *number = sys.argv[1:]
    if way == "features":
        print(json.dumps(features(Path(place))))
    else:
        print(json.dumps({KERAS: by_keras, RAY_TRAIN: by_ray_train}[way](Path(place), int(number[0]))))
