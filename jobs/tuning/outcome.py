"""What a sweep has found, and where it is left: the best spec, the report, the runs in MLflow."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from app.adapters.object_store import ObjectStore
from jobs.artefacts import SWEEPS, Plan
from jobs.job import JobResult
from jobs.tracking import Run
from jobs.tuning.records import TrialRecord, ranked
from jobs.tuning.space import Space, default_point
from jobs.tuning.targets import Target

BEST_SPEC, PAGE, REPORT = "best.toml", "report.html", "report.json"
MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """All trials of a sweep, and the best of them."""

    target: Target
    space: Space
    records: list[TrialRecord]
    best: TrialRecord | None  # None where no trial has reported anything
    default: TrialRecord | None  # the trial of the hyperparameters as they are without a sweep
    config: BaseModel  # of the best

    @classmethod
    def of(cls, target: Target, *, fixed: Mapping[str, Any], space: Space, records: list[TrialRecord]) -> "Outcome":
        best = next((record for record in ranked(records) if record.value is not None), None)
        point = default_point(space, target.whole(fixed))
        default = next((record for record in records if record.params == point and record.value is not None), None)
        config = target.whole({**fixed, **(best.params if best else {})})
        return cls(target, space, records, best, default, config)

    def metrics(self) -> dict[str, float]:
        assert self.best is not None
        assert self.best.value is not None
        found = {f"best {self.target.metric}": self.best.value}
        if self.default is not None and self.default.value is not None:
            found[f"default {self.target.metric}"] = self.default.value
        counts = {
            f"num_{state}": float(sum(r.state == state for r in self.records))
            for state in ("finished", "stopped", "failed")
        }
        return {**found, "num_trials": float(len(self.records)), **counts}


def publish(
    outcome: Outcome, *, spec_of_job: Mapping[str, Any], store: ObjectStore, planned: Plan, track: Run
) -> JobResult:
    """Write everything, the manifest last, and show the best trials."""
    from jobs.tuning.report import report_json, report_page  # Plotly: not for who only resumes or reuses

    metrics = outcome.metrics()
    spec_text = toml(outcome, spec_of_job)
    told = report_json(outcome, run=planned.run, inputs=planned.inputs, spec_of_job=spec_of_job)
    with tempfile.TemporaryDirectory() as work:
        for name, text in (
            (BEST_SPEC, spec_text),
            (REPORT, json.dumps(told, indent=1, ensure_ascii=False)),
            (PAGE, report_page(outcome, told, spec_text=spec_text)),
        ):
            path = Path(work) / name
            path.write_text(text, encoding="utf-8")
            store.write(f"{planned.folder}/{name}", path.read_bytes())
            track.file(path)
    track.metrics(metrics)
    manifest = planned.manifest(metrics=metrics, facts={}, mlflow_run=track.run_id, run_url=track.url)
    SWEEPS.publish(store, manifest, fingerprint=planned.fingerprint)
    show(outcome, store.uri(planned.folder))
    return manifest.result(reused=False)


def toml(outcome: Outcome, spec_of_job: Mapping[str, Any]) -> str:
    """A spec of the tuned job. JSON's words for scalars are TOML's."""
    assert outcome.best is not None
    tables = {name: value for name, value in spec_of_job.items() if isinstance(value, Mapping)}
    lines = [f"# Trial {outcome.best.number} of a sweep: {outcome.target.metric} {outcome.best.value:.4f}."]
    lines += [f"{name} = {json.dumps(v)}" for name, v in spec_of_job.items() if name not in tables]
    for table, values in tables.items():
        lines += ["", f"[{table}]", *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def show(outcome: Outcome, uri: str) -> None:
    """A table of the best trials, and where the rest is."""
    console = Console(soft_wrap=True)
    metric = outcome.target.metric
    table = Table("trial", metric, "best report", "state", "s", *outcome.space, box=None)
    for column in table.columns[:3]:
        column.justify = "right"
    for record in ranked(outcome.records)[:MAX_SHOWN]:
        value = "" if record.value is None else f"{record.value:.4f}"
        name = f"{record.number} (default)" if record == outcome.default else str(record.number)
        params = (f"{p:.4g}" if isinstance(p, float) else str(p) for p in record.params.values())
        table.add_row(name, value, str(record.best_at), record.state, f"{record.seconds:.0f}", *params)
    console.print(table)
    console.print(f"{BEST_SPEC}, {PAGE} and {REPORT} are in {uri}", highlight=False)
