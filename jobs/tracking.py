"""Runs in MLflow: parameters, metrics, files and where to look at them."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.errors import Unavailable
from app.settings import Settings

EXPERIMENT = "learnrec"
MAX_PARAM_LENGTH = 6000
MAX_BATCH = 900
"""Metrics in one call; MLflow takes 1,000."""


class Run:
    """One run; use `tracked`."""

    def __init__(self, client: Any, *, uri: str, experiment_id: str, run_id: str) -> None:
        self._client = client
        self._experiment_id = experiment_id
        self.run_id = run_id
        self._page = f"{uri}/#/experiments/{experiment_id}/runs"

    @property
    def url(self) -> str:
        return f"{self._page}/{self.run_id}"

    def metrics(self, values: Mapping[str, float], *, step: int = 0) -> None:
        for name, value in values.items():
            self._client.log_metric(self.run_id, _metric_name(name), value, step=step)

    def tag(self, name: str, value: str) -> None:
        self._client.set_tag(self.run_id, name, value)

    def table(self, name: str, value: Any) -> None:
        """`value` as JSON in the file `name`."""
        self._client.log_text(self.run_id, json.dumps(value, indent=1, ensure_ascii=False), name)

    def file(self, path: Path) -> None:
        self._client.log_artifact(self.run_id, str(path))

    def children(self) -> set[str]:
        """Names of the runs nested in this one; what a crash left half-written is deleted."""
        wanted = f"tags.`mlflow.parentRunId` = '{self.run_id}'"
        found: set[str] = set()
        page: str | None = None
        while page != "":
            runs = self._client.search_runs([self._experiment_id], wanted, page_token=page)
            for run in runs:
                if run.info.status == "RUNNING":
                    self._client.delete_run(run.info.run_id)
                else:
                    found.add(run.info.run_name)
            page = runs.token or ""
        return found

    def child(
        self, name: str, *, params: Mapping[str, Any], curve: Sequence[Mapping[str, float]], status: str = "FINISHED"
    ) -> None:
        """A run nested in this one, that has ended: its parameters and its metrics by step."""
        from mlflow.entities import Metric, Param

        tags = {"job": name, "mlflow.parentRunId": self.run_id}
        child = self._client.create_run(self._experiment_id, run_name=name, tags=tags).info.run_id
        now = int(time.time() * 1000)
        points = [
            Metric(_metric_name(name), value, now, step) for step, of in enumerate(curve) for name, value in of.items()
        ]
        known = [Param(name, value[:MAX_PARAM_LENGTH]) for name, value in flat(params).items()]
        for at in range(0, max(len(points), 1), MAX_BATCH):
            self._client.log_batch(child, metrics=points[at : at + MAX_BATCH], params=() if at else known)
        self._client.set_terminated(child, status=status)


@contextmanager
def tracked(
    settings: Settings,
    job: str,
    *,
    params: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
    run_id: str = "",
) -> Iterator[Run]:
    """A run of `job` that ends as FINISHED, FAILED or KILLED; `run_id` goes on with an earlier one, where it is there.

    Raises Unavailable: no MLflow server answers.
    """
    uri = settings.need("mlflow_uri").rstrip("/")
    _ping(uri)
    from mlflow.exceptions import MlflowException  # 5 s to import: only where a run is made
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    try:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
        run = Run(client, uri=uri, experiment_id=experiment_id, run_id=run_id)
        if not run_id or not _reopened(client, run_id):
            run.run_id = client.create_run(experiment_id, run_name=job, tags={"job": job, **(tags or {})}).info.run_id
            for name, value in flat(params).items():
                client.log_param(run.run_id, name, value[:MAX_PARAM_LENGTH])
    except MlflowException as exc:
        raise Unavailable("mlflow", str(exc)) from exc
    status = "KILLED"
    try:
        yield run
        status = "FINISHED"
    except MlflowException as exc:
        status = "FAILED"
        raise Unavailable("mlflow", str(exc)) from exc
    except Exception:
        status = "FAILED"
        raise
    finally:
        client.set_terminated(run.run_id, status=status)


def _reopened(client: Any, run_id: str) -> bool:
    """Whether the run is there; it is RUNNING then. A server may have lost what it knew."""
    from mlflow.exceptions import MlflowException

    try:
        client.update_run(run_id, status="RUNNING")
    except MlflowException as exc:
        if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _metric_name(name: str) -> str:
    return name.replace("@", "_at_")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested tables as `table.key`."""
    result: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = str(value)
    return result


def _ping(uri: str) -> None:
    """MLflow's client tries for minutes: ask once before it is imported."""
    try:
        httpx.get(f"{uri}/health", timeout=5.0).raise_for_status()
    except httpx.HTTPError as exc:
        raise Unavailable("mlflow", f"{uri}: {exc}; `learnrec up` starts one") from exc
