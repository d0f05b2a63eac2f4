"""A training under way, seen from outside: what it told MLflow, and the processes that do it."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psutil

from app.settings import Settings
from jobs import stores, train_retrieval
from jobs.artefacts import TOWERS
from jobs.tracking import EXPERIMENT
from tests.cluster.jobworld import until


@dataclass(frozen=True)
class Recovered:
    """A training whose workers were killed in the middle."""

    towers: str
    num_killed: int
    told: list[tuple[int, float]]  # epoch, loss


def trained_with_a_kill(spec: train_retrieval.Spec, settings: Settings) -> Recovered:
    """Workers are killed when five epochs are told of."""
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(train_retrieval.run, spec, settings)
        until(lambda: len(epoch_losses(settings)) > 4 or training.done(), lambda: f"{epoch_losses(settings)}")
        killed = training_workers(settings.need("ray_address"))
        for worker in killed:
            worker.kill()
        done = training.result()
    told = epoch_losses(settings, TOWERS.find(stores.objects(settings), done.output).mlflow_run)
    return Recovered(done.output, len(killed), told)


def epoch_losses(settings: Settings, run_id: str = "") -> list[tuple[int, float]]:
    """Every (epoch, loss) that MLflow was told, of a run; without one, of the train_retrieval under way."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(settings.need("mlflow_uri"))
    if not run_id:
        experiment = client.get_experiment_by_name(EXPERIMENT)
        assert experiment is not None
        under_way = "tags.job = 'train_retrieval' and attributes.status = 'RUNNING'"
        found = client.search_runs([experiment.experiment_id], under_way)
        if not found:
            return []
        run_id = found[0].info.run_id
    return [(point.step, point.value) for point in client.get_metric_history(run_id, "epoch_loss")]


def training_workers(ray_address: str) -> list[psutil.Process]:
    """Ray Train's workers on the cluster, which has one node."""
    port, found = ray_address.rpartition(":")[2], list[psutil.Process]()
    for process in psutil.process_iter(["name", "cmdline"]):
        gcs = [word for word in process.info["cmdline"] or () if word.startswith("--gcs-address=")]
        if process.info["name"] == "raylet" and any(word.endswith(f":{port}") for word in gcs):
            found += [child for child in process.children() if "RayTrainWorker" in " ".join(child.cmdline())]
    return found
