"""Secrets in what everything wrote until now: logs, the registry, job specs, configurations, metrics. Runs late."""

from pathlib import Path

import httpx
import psutil
import pytest
from ray.job_submission import JobSubmissionClient

from app.serving.access import Role
from tests.security.leaks import leaks
from tests.serving.conftest import CANARY, House
from tests.serving.waiting import until


@pytest.fixture(scope="module")
def secrets(served: House) -> dict[str, str]:
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
    return {"the database's password": password, "a password of Kafka": CANARY, "a token": token, "the key": key}


def ray_folder(house: House) -> Path:
    """Where Ray writes, as its head was told."""
    port = int(house.settings.need("ray_address").rpartition(":")[2])
    listening = [found for found in psutil.net_connections("tcp") if found.status == psutil.CONN_LISTEN]
    (head,) = {found.pid for found in listening if getattr(found.laddr, "port", None) == port}
    told = next(word for word in psutil.Process(head).cmdline() if word.startswith("--log_dir="))
    return Path(told.removeprefix("--log_dir=")).parents[1]


def test_no_secret_is_in_anything_that_was_written(
    served: House, secrets: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    homes = [path for path in tmp_path_factory.getbasetemp().glob("house*") if path.is_dir() and not path.is_symlink()]
    data = [place for home in homes for place in (home / "postgres" / "password", home / "postgres" / "data")]
    lives_in = {served.settings.private_key_path, *data}
    found, looked_at = leaks(secrets, ray_folder(served), *homes, lives_in=lives_in)
    assert looked_at > 50, "logs of Ray, MLflow's database, HAProxy's configuration, the object store"
    assert not found


def test_no_secret_is_shown_by_the_service_ray_or_mlflow(served: House, secrets: dict[str, str]) -> None:
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
    assert not [f"{name} in {where}" for where, text in shown.items() for name, s in secrets.items() if s in text]


def test_no_secret_is_on_a_command_line(served: House, secrets: dict[str, str]) -> None:
    """Every user of the machine sees those."""

    def lines() -> str:
        return "\n".join(" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"]))

    until(lambda: "ServeReplica" in lines(), seconds=5)
    assert not [name for name, secret in secrets.items() if secret in lines()]
