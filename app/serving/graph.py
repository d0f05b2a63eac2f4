"""The graph: four plain classes, made deployments and composed. How many, and with what, says the Serve config."""

from typing import Any

from ray import serve

from app.serving.arguments import GraphArguments
from app.serving.embedder import Embedder
from app.serving.ingress import Ingress
from app.serving.ranker import Ranker
from app.serving.retriever import Retriever


def build(arguments: GraphArguments) -> serve.Application:
    """`import_path: app.serving.graph:build`."""
    stages = [_deployment(stage).bind(arguments) for stage in (Embedder, Retriever, Ranker)]
    return _deployment(serve.ingress()(Ingress), name="Ingress").bind(arguments, *stages)


def _deployment(kind: Any, *, name: str | None = None) -> serve.Deployment:
    return serve.deployment(name=name or kind.__name__)(kind)
