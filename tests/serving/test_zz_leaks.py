"""Secrets in what everything wrote until now: logs, the registry, job specs, configurations, metrics. Runs late."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from ray.job_submission import JobSubmissionClient

from app.serving.access import Role
from tests.serving.conftest import CANARY, House
from tests.serving.waiting import until


@pytest.fixture(scope="module")
def secrets(served: House) -> dict[str, bytes]:
    """What must be nowhere but where it lives."""
    password = httpx.URL(served.settings.need("postgres_url").replace("postgresql:", "http:")).password
    key = served.settings.private_key_path.read_text().splitlines()[3]
    token = served.token("an-indiscreet-client")
    with served.client("the-admin", Role.ADMIN) as client:
        client.headers["Authorization"] = f"Bearer {token}"
        client.get("/recommend/an-indiscreet-client").raise_for_status()
        client.get(f"/recommend/{token}")
        client.post("/events", json={"user_id": token})
    assert min(len(password), len(key)) > 20
    found = {"the database's password": password, "a password of Kafka": CANARY, "a token": token, "the key": key}
    return {name: secret.encode() for name, secret in found.items()}


def ray_folder(house: House) -> Path:
    """Where Ray writes, as its head was told."""
    (head,) = [process for process in house.processes("ray_address") if "gcs_server" in process.name()]
    told = next(word for word in head.cmdline() if word.startswith("--log_dir="))
    return Path(told.removeprefix("--log_dir=")).parents[2]


def written(*folders: Path) -> Iterator[Path]:
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path


def test_no_secret_is_in_anything_that_was_written(
    served: House, secrets: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    homes = [path for path in tmp_path_factory.getbasetemp().glob("house*") if path.is_dir()]
    lives_there = {served.settings.private_key_path, *(home / "postgres" / "password" for home in homes)}
    looked_at, leaks = 0, list[str]()
    for path in written(ray_folder(served), *homes):
        if path in lives_there or "postgres/data" in path.as_posix():
            continue
        text, looked_at = path.read_bytes(), looked_at + 1
        leaks += [f"{name} in {path}" for name, secret in secrets.items() if secret in text]
    assert looked_at > 50, "logs of Ray, MLflow's database, HAProxy's configuration, the object store"
    assert not leaks


def test_no_secret_is_shown_by_the_service_ray_or_mlflow(served: House, secrets: dict[str, bytes]) -> None:
    client = JobSubmissionClient(served.settings.need("ray_address"))
    jobs = repr([(job, client.get_job_logs(job.submission_id)) for job in client.list_jobs() if job.submission_id])
    shown = {"jobs": jobs, "the Serve config": httpx.get(f"{client._address}/api/serve/applications/").text}
    for path in ("/metrics", "/health"):
        shown[path] = httpx.get(f"{served.url}{path}", trust_env=False).text
    with served.client(role=Role.ADMIN) as admin:
        shown |= {path: admin.get(path).text for path in ("/openapi.json", "/nowhere", "/admin/jobs/none")}
    mlflow = f"{served.settings.need('mlflow_uri')}/api/2.0/mlflow"
    shown["releases"] = httpx.get(f"{mlflow}/registered-models/search", trust_env=False).text
    shown["runs"] = httpx.post(f"{mlflow}/runs/search", json={"experiment_ids": ["0", "1"]}, trust_env=False).text
    leaks = [f"{name} in {where}" for where, text in shown.items() for name, s in secrets.items() if s.decode() in text]
    assert not leaks


def test_no_secret_is_on_a_command_line(served: House, secrets: dict[str, bytes]) -> None:
    """Every user of the machine sees those."""

    def lines() -> str:
        return "\n".join(" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))

    until(lambda: "ServeReplica" in lines(), seconds=5)
    assert not [name for name, secret in secrets.items() if secret.decode() in lines()]
