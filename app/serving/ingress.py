"""The ingress as a deployment: HTTP in, micro-batches through the stages, HTTP out."""

from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from app.errors import Unavailable
from app.serving.arguments import GraphArguments
from app.serving.calls import Stage, replica_id
from app.serving.http import build_app
from app.serving.json_log import set_up
from app.serving.service import Service
from app.settings import load_settings, prepare_process


class Ingress:
    """Serve asks for the application, by its odd name, once this is made: it stands around this replica's service."""

    def __init__(
        self,
        arguments: GraphArguments,
        embedder: DeploymentHandle,
        retriever: DeploymentHandle,
        ranker: DeploymentHandle,
    ) -> None:
        prepare_process()
        set_up("ingress", replica_id())
        self._service = Service(
            load_settings(),
            arguments,
            embedder=Stage("embedder", embedder),
            retriever=Stage("retriever", retriever),
            ranker=Stage("ranker", ranker),
        )
        self._service.metrics.replica = replica_id()

    def __serve_build_asgi_app__(self) -> FastAPI:
        return build_app(self._service)

    async def check_health(self) -> None:
        """Raises Unavailable, so that Serve replaces the replica: it could not take up a release any more."""
        if not self._service.alive:
            raise Unavailable("ingress", "what watches for releases has ended")
