"""The jobs of the schedule on Kubernetes are those of the one table, as its command makes them."""

import json
from pathlib import Path

import pytest
from apscheduler.triggers.cron import CronTrigger
from ray.dashboard.modules.job.cli import submit

from cluster.manifests import FILES, text_of
from jobs.schedule import SCHEDULE, Entry
from tests.manifests.conftest import Json, groups, of_kind, ray_service


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_checked_in_is_what_the_command_makes(path: Path) -> None:
    assert path.read_text() == text_of(FILES[path]), "run `learnrec manifests`"


def cron_job(entry: Entry) -> Json:
    (only,) = [one for one in of_kind("production", "CronJob") if one["metadata"]["name"] == f"learnrec-{entry.name}"]
    return only["spec"]


@pytest.mark.parametrize("entry", SCHEDULE, ids=lambda entry: entry.name)
def test_an_entry_is_a_cron_job_whose_steps_follow_each_other(entry: Entry) -> None:
    spec = cron_job(entry)
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (entry.cron, "Etc/UTC", "Forbid")
    CronTrigger.from_crontab(spec["schedule"])
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    steps = [*pod.get("initContainers", ()), *pod["containers"]]  # Kubernetes runs the first ones one by one
    assert [step["args"] for step in steps] == [
        ["--", "python", "-m", "jobs", step.job, *step.arguments] for step in entry.steps
    ]


@pytest.mark.parametrize("entry", SCHEDULE, ids=lambda entry: entry.name)
def test_ray_reads_the_submission_as_it_is_meant(entry: Entry) -> None:
    pod = cron_job(entry)["jobTemplate"]["spec"]["template"]["spec"]
    for step, container in zip(entry.steps, [*pod.get("initContainers", ()), *pod["containers"]], strict=True):
        assert container["command"][:3] == ["ray", "job", "submit"]
        read = submit.make_context("submit", [*container["command"][3:], *container["args"]]).params
        assert read["entrypoint"] == ("python", "-m", "jobs", step.job, *step.arguments)
        assert read["entrypoint_num_cpus"] == 1  # none but the batch group has any
        assert json.loads(read["metadata_json"])["job"] == step.job  # as the service's own submissions say it
        assert not read["no_wait"]
        labels = groups(ray_service("production")["spec"]["rayClusterConfig"])["batch"]["labels"]
        assert json.loads(read["entrypoint_label_selector"]).items() <= labels.items()


def test_the_head_is_found_by_the_name_that_kuberay_gives_its_service() -> None:
    name = ray_service("production")["metadata"]["name"]
    for one in of_kind("production", "CronJob"):
        for container in one["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]:
            environment = {entry["name"]: entry.get("value") for entry in container["env"]}
            assert environment["RAY_ADDRESS"] == f"http://{name}-head-svc:8265"


@pytest.mark.parametrize("entry", SCHEDULE, ids=lambda entry: entry.name)
def test_apart_from_the_service_an_entry_is_a_cluster_of_its_own(entry: Entry) -> None:
    found = {one["metadata"]["name"]: one["spec"] for one in of_kind("production-jobs-apart", "RayCronJob")}
    spec = found[f"learnrec-{entry.name}"]
    job = spec["jobTemplate"]
    assert spec["schedule"] == entry.cron
    assert [job["entrypoint"].count(f"-m jobs {step.job}") for step in entry.steps] == [1] * len(entry.steps)
    assert job["shutdownAfterJobFinishes"]
    assert "serve" not in groups(job["rayClusterSpec"])


def test_jobs_apart_leave_neither_cron_jobs_nor_their_workers_at_the_service() -> None:
    assert not of_kind("production-jobs-apart", "CronJob")
    assert list(groups(ray_service("production-jobs-apart")["spec"]["rayClusterConfig"])) == ["head", "serve"]
