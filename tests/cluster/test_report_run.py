"""A report in MLflow: what a run of `learnrec evaluate report` leaves on a real server."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from cluster.cli import root
from jobs.tracking import EXPERIMENT
from tests.unit.report.splits import write_lists, write_split


def test_a_report_is_a_run_with_figures_and_files(
    mlflow_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEARNREC_VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("LEARNREC_MLFLOW_URI", mlflow_uri)
    split = write_split(tmp_path / "split")
    lists = write_lists(tmp_path / "mine.parquet", split)

    arguments = ["evaluate", "report", str(split), str(lists), "--baseline", "popular", "--mlflow"]
    result = CliRunner().invoke(root.app, arguments, prog_name="learnrec")

    assert result.exit_code == 0, result.output
    address = next(word for word in result.stderr.split() if word.startswith(mlflow_uri))
    client = MlflowClient(tracking_uri=mlflow_uri)
    run = client.get_run(address.rpartition("/")[2])
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    assert run.info.experiment_id == experiment.experiment_id
    assert run.info.status == "FINISHED"
    assert run.data.params["lists"] == "mine.parquet"
    assert run.data.metrics["ndcg_at_10.low"] < run.data.metrics["ndcg_at_10"]
    assert run.data.metrics["above/popular/ndcg_at_10.low"] > 0
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"report.html", "report.json"}
