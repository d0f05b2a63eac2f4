"""Runs in MLflow, on a real server: gone on with after a crash, nested runs whole or not at all."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from app.settings import Settings
from jobs.tracking import tracked


@pytest.fixture
def settings(mlflow_uri: str, tmp_path: Path) -> Settings:
    return Settings(var_dir=tmp_path, mlflow_uri=mlflow_uri)


def test_a_run_is_gone_on_with_where_it_is_there_and_made_anew_where_it_is_not(settings: Settings) -> None:
    with pytest.raises(KeyboardInterrupt), tracked(settings, "sweep", params={"a": 1}) as first:
        raise KeyboardInterrupt
    with tracked(settings, "sweep", params={"a": 2}, run_id=first.run_id) as again:
        again.metrics({"ndcg@10": 0.5})
    with tracked(settings, "sweep", params={"a": 3}, run_id="0" * 32) as other:
        pass
    run = MlflowClient(settings.need("mlflow_uri")).get_run(first.run_id)
    assert again.run_id == first.run_id != other.run_id
    assert again.url.endswith(first.run_id)
    assert (run.info.status, run.data.params, run.data.metrics) == ("FINISHED", {"a": "1"}, {"ndcg_at_10": 0.5})


def test_nested_runs_have_their_curve_and_what_a_crash_left_is_removed(settings: Settings) -> None:
    client = MlflowClient(settings.need("mlflow_uri"))
    with tracked(settings, "sweep", params={}) as run:
        run.child("trial 1", params={"rate": 0.1}, curve=[{"recall@100": 0.2}, {"recall@100": 0.3}])
        run.child("trial 2", params={}, curve=[], status="FAILED")
        experiment = client.get_run(run.run_id).info.experiment_id
        half = client.create_run(experiment, run_name="trial 3", tags={"mlflow.parentRunId": run.run_id})

        names = run.children()

    wanted = f"tags.`mlflow.parentRunId` = '{run.run_id}'"
    children = {str(child.info.run_name): child for child in client.search_runs([experiment], wanted)}
    curve = client.get_metric_history(children["trial 1"].info.run_id, "recall_at_100")
    assert names == children.keys() == {"trial 1", "trial 2"}
    assert client.get_run(half.info.run_id).info.lifecycle_stage == "deleted"
    assert [(point.step, point.value) for point in curve] == [(0, 0.2), (1, 0.3)]
    assert children["trial 1"].data.params == {"rate": "0.1"}
    assert [children[name].info.status for name in ("trial 1", "trial 2")] == ["FINISHED", "FAILED"]
