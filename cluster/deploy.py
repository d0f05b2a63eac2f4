"""The Serve application on the stack's Ray: the config of kuberay/base/rayservice.yaml, scaled down to one machine.

Everything goes through Ray's own REST interface, so that this process is no driver that the application would die with.
Replicas inherit the environment of Ray's daemons, and with it every address; no secret is in the config.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import yaml

from app.errors import LearnrecError, Unavailable
from app.settings import Settings, prepare_process, ray_authentication

SERVICE = Path(__file__).resolve().parents[1] / "kuberay" / "base" / "rayservice.yaml"
APPLICATION = "learnrec"
REPLICA_CPUS = 0.1
"""CPUs are tickets on one machine: four replicas and a job must fit side by side."""

POLL_S = 0.3
REQUEST_TIMEOUT_S = 60.0
UNDEPLOY_TIMEOUT_S = 90.0

Json = dict[str, Any]


def serve_config() -> Json:
    """The Serve config as it is for production."""
    return yaml.safe_load(yaml.safe_load(SERVICE.read_text())["spec"]["serveConfigV2"])


def local_config(settings: Settings) -> Json:
    """The same, with one small replica of each deployment, at the address of `settings`."""
    config = serve_config()
    config["http_options"] |= {"host": settings.http_host, "port": settings.http_port}
    for application in config["applications"]:
        for deployment in application["deployments"]:
            deployment.pop("autoscaling_config", None)
            deployment.update(num_replicas=1, ray_actor_options={"num_cpus": REPLICA_CPUS})
    return config


def deploy(settings: Settings, config: Json | None = None, *, wait_s: float = 240.0) -> None:
    """Deploy `config` (the local one), or bring what is deployed up to date, and wait until /health answers.

    Raises Unavailable: Ray does not answer. LearnrecError: the application does not start, with Serve's reason.
    """
    with _Ray(settings) as ray:
        running = ray.serve_details()
        if running.get("applications") and running["http_options"]["port"] != settings.http_port:
            _undeploy(ray)  # Serve keeps the port that it began with
        deadline = time.monotonic() + wait_s
        _put(ray, config or local_config(settings), deadline=deadline)
        _await(ray, settings, deadline=deadline, wait_s=wait_s)


def _await(ray: "_Ray", settings: Settings, *, deadline: float, wait_s: float) -> None:
    while True:
        application = ray.serve_details().get("applications", {}).get(APPLICATION, {})
        if application.get("status") == "DEPLOY_FAILED":
            raise LearnrecError(f"the Serve application does not start: {_reason(application)}")
        if application.get("status") == "RUNNING" and _answers(settings):
            return
        if time.monotonic() > deadline:
            raise LearnrecError(f"the Serve application does not answer after {wait_s:.0f} s: {_reason(application)}")
        time.sleep(POLL_S)


def _put(ray: "_Ray", config: Json, *, deadline: float) -> None:
    """Serve gives up on HAProxy after five seconds, which a busy machine exceeds, and then starts it once more."""
    while True:
        try:
            ray.request("PUT", config)
            return
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


def undeploy(settings: Settings) -> None:
    """Stop the application and all of Serve, HAProxy included. Nothing happens where Serve does not run.

    Raises Unavailable: Ray does not answer.
    """
    with _Ray(settings) as ray:
        _undeploy(ray)


def _undeploy(ray: "_Ray") -> None:
    ray.request("DELETE")
    if _until(lambda: not list(ray.haproxies()), seconds=UNDEPLOY_TIMEOUT_S):
        return
    for process in ray.haproxies():  # it outlives a proxy actor that was killed, and keeps the ports
        process.kill()
    _until(lambda: not list(ray.haproxies()), seconds=10)


class _Ray:
    """The dashboard of the Ray at `settings.ray_address`."""

    def __init__(self, settings: Settings) -> None:
        prepare_process(settings=settings)
        from ray._private import ray_constants  # only now: Ray reads the environment when it is imported
        from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]  # a compiled module

        address = settings.need("ray_address")
        try:
            gcs = GcsClient(address=address)
            dashboard: bytes | None = gcs.internal_kv_get(
                ray_constants.DASHBOARD_ADDRESS.encode(), ray_constants.KV_NAMESPACE_DASHBOARD, timeout=10
            )
            self._nodes = [node_id.hex() for node_id in gcs.get_all_node_info(timeout=10)]
        except Exception as exc:  # the C++ client raises plain RuntimeErrors and its own RpcError
            raise Unavailable("ray", f"{address}: {exc}") from exc
        if not dashboard:
            raise Unavailable("ray", f"the head at {address} runs without a dashboard, which Serve is deployed through")
        self._url = f"http://{dashboard.decode()}/api/serve/applications/"
        token = ray_authentication(settings).get("RAY_AUTH_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(headers=headers, timeout=REQUEST_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def serve_details(self) -> Json:
        return self.request("GET")

    def request(self, method: str, body: Json | None = None) -> Json:
        try:
            response = self._http.request(method, self._url, json=body)
            response.raise_for_status()
        except httpx.HTTPStatusError as exc:
            said = exc.response.text[-2_000:]
            if exc.response.is_server_error:
                raise Unavailable("ray", f"Serve does not start: {said}") from exc
            raise LearnrecError(f"Ray refuses the Serve config: {said}") from exc
        except httpx.HTTPError as exc:
            raise Unavailable("ray", f"{self._url}: {exc}") from exc
        return response.json() if response.content.startswith(b"{") else {}

    def haproxies(self) -> Iterator[psutil.Process]:
        """HAProxy processes of this Ray's nodes; their configuration lies in a folder with the node's name."""
        for process in psutil.process_iter(["name", "cmdline"]):
            command = " ".join(process.info["cmdline"] or ())
            if "haproxy" in (process.info["name"] or "") and any(node in command for node in self._nodes):
                yield process


def _answers(settings: Settings) -> bool:
    host = "127.0.0.1" if settings.http_host in ("", "0.0.0.0", "::") else settings.http_host  # noqa: S104
    url = f"{settings.http_scheme}://{host}:{settings.http_port}/health"
    try:
        return httpx.get(url, timeout=5, trust_env=False, verify=False).is_success  # noqa: S501  # asks for health only
    except httpx.HTTPError:
        return False


def _reason(application: Json) -> str:
    """What Serve says of the application and of the deployments that are not healthy."""
    parts = [application.get("message") or application.get("status") or "no application"]
    for name, deployment in application.get("deployments", {}).items():
        if deployment.get("status") != "HEALTHY":
            parts.append(f"{name}: {deployment.get('message') or deployment.get('status')}")
    return "; ".join(part.strip() for part in parts)[-3_000:]


def _until(condition: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
