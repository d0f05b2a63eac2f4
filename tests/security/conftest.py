"""The application with its gate, in this process: no store is asked before a request has been let in."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import httpx
import pytest
from fastapi import FastAPI

from app.serving.arguments import GraphArguments
from app.serving.calls import Stage
from app.serving.http import build_app
from app.serving.service import Service
from app.settings import Settings
from tests.security.forging import jwk
from tests.security.wire import listening

NOWHERE = "127.0.0.1:9"


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Of an application whose stores are away, behind one proxy of ours, for one page."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk("ours")]}))
    return Settings(
        var_dir=folder,
        jwt_jwks_path=folder / "jwks.json",
        postgres_url=f"postgresql://learnrec:of-postgres@{NOWHERE}/learnrec",
        redis_url=f"redis://:of-redis@{NOWHERE}/0",
        mlflow_uri=f"http://{NOWHERE}",
        rate_limit="100000/minute",
        forwarded_hops=1,
        cors_origins="https://page.example",
    )


class _NoDeployment:
    """In the place of Ray's handle; who would call it fails."""

    def options(self, **_: Any) -> Self:
        return self


def stages() -> dict[str, Stage]:
    nobody: Any = _NoDeployment()
    return {name: Stage(name, nobody) for name in ("embedder", "retriever", "ranker")}


@pytest.fixture(scope="session")
def application(settings: Settings) -> FastAPI:
    """Never started: what needs a store fails, after the gate."""
    return build_app(Service(settings, GraphArguments.model_validate({}), **stages()))


@pytest.fixture
async def client(application: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as made:
        yield made


@pytest.fixture(scope="session")
def port(application: FastAPI) -> Iterator[int]:
    """Where the same application listens."""
    with listening(application) as made:
        yield made
