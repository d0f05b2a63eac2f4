"""`/admin/…`: the jobs that make models and indexes, started on the very cluster that serves, and how they fare."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import Body, FastAPI, Path, Request, Response
from pydantic import Field

from app.serving.gate import caller_of
from app.serving.problems import documented
from app.serving.schemas import Closed
from app.serving.service import Service
from app.serving.submissions import Submission, of_this_cluster

JSON = "application/json"
JOB_OF_MODEL = {"retrieval": "train_retrieval", "ranking": "train_ranking", "all": "pipeline"}


class TrainIn(Closed):
    """What to train."""

    model: Literal["retrieval", "ranking", "all"] = Field(
        default="all", description="the towers, the ranker, or everything from new events to a staged release"
    )


class ReindexIn(Closed):
    """How to make the index again."""

    incremental: bool = Field(
        default=True,
        description="serve new contents of the live release at once; else a whole index for the next release",
    )


class JobReport(Closed):
    """A job as Ray knows it."""

    id: str
    job: str
    status: Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]
    message: str
    requested_by: str
    started_at: datetime | None
    ended_at: datetime | None


def add_admin(app: FastAPI, service: Service) -> None:
    """Routes of role admin."""
    accepted: Any = {202: {"model": JobReport}} | documented(401, 403, 408, 409, 413, 415, 422, 429, 503)
    found: Any = {200: {"model": JobReport}} | documented(401, 403, 404, 422, 429, 503)

    async def start(request: Request, job: str, *arguments: str) -> Response:
        def submitted() -> Submission:
            api = of_this_cluster(service.settings)
            return api.find(api.submit_alone(job, arguments, by=caller_of(request).subject))

        await service.privacy.note(caller_of(request), "start", " ".join([job, *arguments]))
        report = await asyncio.to_thread(submitted)
        return _said(report, status=202, headers={"Location": f"/admin/jobs/{report.submission_id}"})

    @app.post("/admin/train", status_code=202, responses=accepted, response_class=Response)
    async def train(request: Request, wanted: Annotated[TrainIn | None, Body()] = None) -> Response:
        """Start the job that trains; a second one of the same kind is refused while it runs."""
        return await start(request, JOB_OF_MODEL[(wanted or TrainIn()).model])

    @app.post("/admin/reindex", status_code=202, responses=accepted, response_class=Response)
    async def reindex(request: Request, wanted: Annotated[ReindexIn | None, Body()] = None) -> Response:
        """Start the job that makes the index; a second one is refused while it runs."""
        incremental = (wanted or ReindexIn()).incremental
        return await start(request, "build_index", f"--set=incremental={orjson.dumps(incremental).decode()}")

    @app.get("/admin/jobs/{submission_id}", responses=found, response_class=Response)
    async def job(submission_id: Annotated[str, Path(min_length=1, max_length=64)]) -> Response:
        """How a job that was started fares."""
        report = await asyncio.to_thread(lambda: of_this_cluster(service.settings).find(submission_id))
        return _said(report)


def _said(report: Submission, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = {
        "id": report.submission_id,
        "job": report.job,
        "status": report.status,
        "message": report.message,
        "requested_by": report.by,
        "started_at": report.started_at,
        "ended_at": report.ended_at,
    }
    return Response(orjson.dumps(body), status, headers, JSON)
