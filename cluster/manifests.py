"""Kubernetes manifests that follow from other homes: the schedule's jobs, made of its table and of the RayService.

They are checked in, so that a change is seen before it is applied; a test keeps them equal to what this makes.
"""

import copy
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from cluster.deploy import SERVICE
from jobs.schedule import SCHEDULE, Entry, Step

Json = dict[str, Any]

KUBERAY = SERVICE.parents[1]
HEAD = "http://learnrec-head-svc:8265"  # the Service is called after the RayService, whatever its clusters are called
BATCH = "batch"
LATEST_START_S = 600
LONGEST_RUN_S = 6 * 3600
KEPT_S = 24 * 3600
RETRIES = 2
"""What a job finished before it failed, its next run finds again."""

THERE: Json = {"env_vars": {"LEARNREC_RAY_ADDRESS": "auto"}}
"""A job's cluster is the one that it runs on, whatever the pod says."""

CONFINED: Json = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SUBMITTER: Json = {"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "512Mi"}}}


def ray_service() -> Json:
    return yaml.safe_load(SERVICE.read_text(encoding="utf-8"))


def cron_jobs() -> Iterator[Json]:
    """An entry's steps, one after the other, through the job API of the service's cluster, on its `batch` group."""
    pod: Json = ray_service()["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    for entry in SCHEDULE:
        *first, last = [_submission(entry, step, place, pod) for place, step in enumerate(entry.steps, 1)]
        template = {
            "metadata": {"labels": {"learnrec/component": "submitter"}},
            "spec": {
                "serviceAccountName": "learnrec-submitter",
                "automountServiceAccountToken": False,
                "restartPolicy": "Never",
                "securityContext": pod["securityContext"],
                **({"initContainers": first} if first else {}),
                "containers": [last],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            },
        }
        job = {
            "backoffLimit": RETRIES,
            "activeDeadlineSeconds": LONGEST_RUN_S,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": template,
        }
        yield _object("batch/v1", "CronJob", entry, {**_times(entry), "jobTemplate": {"spec": job}})


def _submission(entry: Entry, step: Step, place: int, pod: Json) -> Json:
    """A container that ends when the job has ended, as the job has."""
    options = {
        "runtime-env-json": json.dumps(THERE),
        "metadata-json": json.dumps({"job": step.job, "by": f"cronjob: {entry.name}"}),
        "entrypoint-num-cpus": "1",
        "entrypoint-label-selector": json.dumps({"learnrec/group": BATCH}),
    }
    token = {"secretKeyRef": {"name": "learnrec-ray-token", "key": "auth_token"}}
    return {
        "name": f"{place}-{step.job.replace('_', '-')}",
        "image": pod["containers"][0]["image"],
        "command": ["ray", "job", "submit", *(f"--{name}={value}" for name, value in options.items())],
        "args": ["--", *_command(step)],
        "env": [
            {"name": "RAY_ADDRESS", "value": HEAD},
            {"name": "RAY_AUTH_MODE", "value": "token"},
            {"name": "RAY_AUTH_TOKEN", "valueFrom": token},
            {"name": "HOME", "value": "/tmp"},  # noqa: S108  # a volume of the pod's own
        ],
        "securityContext": {**CONFINED, "readOnlyRootFilesystem": True},
        **SUBMITTER,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # as above
    }


def ray_cron_jobs() -> Iterator[Json]:
    """The same entries, each on a cluster that comes and goes with its run."""
    service = ray_service()["spec"]["rayClusterConfig"]
    for entry in SCHEDULE:
        job = {
            "entrypoint": f"sh -c {shlex.quote(' && '.join(shlex.join(_command(step)) for step in entry.steps))}",
            "runtimeEnvYAML": yaml.safe_dump(THERE),
            "entrypointNumCpus": 1,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,  # for a look at its logs
            "preRunningDeadlineSeconds": LATEST_START_S * 2,
            "activeDeadlineSeconds": LONGEST_RUN_S,
            "backoffLimit": 1,  # with a new cluster
            "submitterPodTemplate": _submitter(service),
            "rayClusterSpec": _job_cluster(service),
        }
        times = {name: value for name, value in _times(entry).items() if name in ("schedule", "timeZone")}
        yield _object("ray.io/v1", "RayCronJob", entry, {**times, "jobTemplate": job})


def _job_cluster(service: Json) -> Json:
    """The service's cluster with one worker group, and nothing in Redis: a head that is lost fails the run."""
    head = copy.deepcopy(service["headGroupSpec"])
    del head["template"]["spec"]["initContainers"]  # the schema is the service's concern
    (batch,) = [group for group in service["workerGroupSpecs"] if group["groupName"] == BATCH]
    kept = {
        name: service[name] for name in ("rayVersion", "authOptions", "enableInTreeAutoscaling", "autoscalerOptions")
    }
    return {**kept, "headGroupSpec": head, "workerGroupSpecs": [{**batch, "replicas": 1, "minReplicas": 1}]}


def _submitter(service: Json) -> Json:
    pod = service["headGroupSpec"]["template"]["spec"]
    container = {"name": "ray-job-submitter", "image": pod["containers"][0]["image"], "securityContext": CONFINED}
    return {
        "metadata": {"labels": {"learnrec/component": "submitter"}},
        "spec": {
            "serviceAccountName": "learnrec-submitter",
            "restartPolicy": "Never",
            "securityContext": pod["securityContext"],
            "containers": [{**container, **SUBMITTER}],
        },
    }


def _command(step: Step) -> list[str]:
    return ["python", "-m", "jobs", step.job, *step.arguments]


def _times(entry: Entry) -> Json:
    return {
        "schedule": entry.cron,
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": LATEST_START_S,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 3,
    }


def _object(version: str, kind: str, entry: Entry, spec: Json) -> Json:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": f"learnrec-{entry.name}"}, "spec": spec}


FILES: dict[Path, Callable[[], Iterator[Json]]] = {
    KUBERAY / "jobs" / "cronjobs.yaml": cron_jobs,
    KUBERAY / "jobs-apart" / "raycronjobs.yaml": ray_cron_jobs,
}
"""What is made, and where it is checked in."""

FIRST_LINE = "# Made by `learnrec manifests` of jobs/schedule.py and kuberay/base/rayservice.yaml: change those.\n"


class _Plain(yaml.SafeDumper):
    """Without anchors: a reader of one job shall find all of it there."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the base class's signature
        return True


def text_of(make: Callable[[], Iterator[Json]]) -> str:
    return FIRST_LINE + yaml.dump_all(make(), Dumper=_Plain, sort_keys=False, width=1_000, allow_unicode=True)


def write() -> list[Path]:
    """Write what differs from what is checked in; returns these files."""
    changed = [path for path, make in FILES.items() if not path.exists() or path.read_text("utf-8") != text_of(make)]
    for path in changed:
        path.write_text(text_of(FILES[path]), encoding="utf-8")
    return changed
