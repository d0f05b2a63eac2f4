"""What jobs leave in the object store: one folder a run, never written twice, and who may find it how.

ROOT/…/{run}/…              the run's files; `manifest.json` is written last: a folder without one is no output
ROOT/inputs/{fingerprint}.json   the run that these inputs and this spec gave
ROOT/latest.json            the run that was made last
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from app.adapters.object_store import ObjectStore
from app.errors import NotFound
from jobs.job import JobResult, JobSpec

MANIFEST = "manifest.json"


class RunManifest(BaseModel):
    """One run of a job; version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    job: str
    run: str
    created_at: str  # ISO 8601, UTC
    inputs: dict[str, str]
    spec: dict[str, Any]
    metrics: dict[str, float] = {}
    facts: dict[str, str | int | float] = {}
    mlflow_run: str = ""
    run_url: str = ""

    def result(self, *, reused: bool) -> JobResult:
        return JobResult(self.job, self.run, self.metrics, self.run_url or None, reused)


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where the runs of one job are."""

    root: str
    job: str
    runs: str = ""

    def folder(self, run: str) -> str:
        return f"{self.root}/{self.runs}{run}"

    def find(self, store: ObjectStore, run: str) -> RunManifest:
        """The manifest of `run`, or of the latest where it is "latest". Raises NotFound, with the job to run."""
        try:
            name = store.read_json(f"{self.root}/latest.json")["run"] if run == "latest" else run
            return RunManifest.model_validate(store.read_json(f"{self.folder(name)}/{MANIFEST}"))
        except NotFound as exc:
            raise NotFound(f"no {self.job} run {run!r} in {store.uri(self.root)}: run the job {self.job}") from exc

    def made_from(self, store: ObjectStore, fingerprint: str) -> RunManifest | None:
        """What these inputs gave before, if they did."""
        try:
            run = store.read_json(f"{self.root}/inputs/{fingerprint}.json")["run"]
            return self.find(store, run)
        except NotFound:
            return None

    def publish(self, store: ObjectStore, manifest: RunManifest, *, fingerprint: str) -> None:
        """Make the run's folder an output: manifest first, then the two ways to find it.

        Call it when MLflow's run has ended: what is found here is not made again, and its run would stay RUNNING.
        """
        store.write_json(f"{self.folder(manifest.run)}/{MANIFEST}", manifest.model_dump())
        self.point(store, manifest.run, fingerprint=fingerprint)

    def point(self, store: ObjectStore, run: str, *, fingerprint: str) -> None:
        store.write_json(f"{self.root}/inputs/{fingerprint}.json", {"run": run})
        store.write_json(f"{self.root}/latest.json", {"run": run})


VERDICT, IMPORTANCE, WEIGHTS = "verdict.json", "importance.json", "weights.npy"
"""Files of a run of train_ranking, beside the ranker."""

PSEUDONYM_KEY = "pseudonym_key"
"""Fact of a run of build_features: the name of the key under which its vocabulary knows learners."""

FEATURES = Shelf("learning-features", "build_features", runs="runs/")
TOWERS = Shelf("learning-models/towers", "train_retrieval")
RANKERS = Shelf("learning-models/rankers", "train_ranking")
INDEXES = Shelf("learning-models/indexes", "build_index")
SWEEPS = Shelf("learning-models/sweeps", "tune")
RECOMMENDATIONS = Shelf("learning-models/recommendations", "batch_recommend")


@dataclass(frozen=True, slots=True)
class Plan:
    """One run to be made, or already made, from `inputs` and `spec`."""

    shelf: Shelf
    fingerprint: str
    run: str
    inputs: dict[str, str]
    spec: dict[str, Any]

    @property
    def folder(self) -> str:
        return self.shelf.folder(self.run)

    def manifest(
        self, *, metrics: dict[str, float], facts: dict[str, str | int | float], mlflow_run: str, run_url: str
    ) -> RunManifest:
        return RunManifest(
            job=self.shelf.job,
            run=self.run,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            inputs=self.inputs,
            spec=self.spec,
            metrics=metrics,
            facts=facts,
            mlflow_run=mlflow_run,
            run_url=run_url,
        )


def plan(shelf: Shelf, inputs: Mapping[str, str], spec: JobSpec) -> Plan:
    """The same inputs and spec always give the same run; with `force` a run of its own, which then takes its place."""
    described = {"job": shelf.job, "inputs": dict(inputs), "spec": spec.model_dump(mode="json")}
    fingerprint = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
    run = f"{fingerprint}_{secrets.token_hex(2)}" if spec.force else fingerprint
    return Plan(shelf, fingerprint, run, dict(inputs), described["spec"])


def earlier(store: ObjectStore, planned: Plan, spec: JobSpec) -> RunManifest | None:
    """What is there already; else room is made for the run, an earlier attempt's leftovers removed."""
    found = None if spec.force else planned.shelf.made_from(store, planned.fingerprint)
    if found:
        planned.shelf.point(store, found.run, fingerprint=planned.fingerprint)  # it is the latest again
    else:
        store.remove(planned.folder)
    return found


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by POSIX path relative to it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
