"""Jobs as processes of their own: submitted to a cluster, and interrupted."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.errors import Conflict, NotFound, Unavailable
from app.serving.submissions import Submissions
from app.settings import environment_of
from jobs.__main__ import main
from jobs.ray_session import reach
from jobs.runner import run_job
from jobs.spec import load_spec
from jobs.submission import arguments_of
from tests.cluster.jobworld import DEADLINE_S, JobWorld, job_process, job_world, until, write_addresses


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, redis_url: str, milvus_lite_uri: str, mlflow_uri: str
) -> Iterator[JobWorld]:
    with job_world(
        tmp_path_factory.mktemp("processes"),
        postgres_url=postgres_url,
        redis_url=redis_url,
        milvus_uri=milvus_lite_uri,
        mlflow_uri=mlflow_uri,
    ) as world:
        write_addresses(world.settings)
        yield world


@pytest.fixture(scope="module")
def submissions(made: JobWorld, ray_cluster: str) -> Submissions:
    return Submissions(made.settings.model_copy(update={"ray_address": ray_cluster}))


def ended(submissions: Submissions, submission_id: str) -> bool:
    return submissions.find(submission_id).ended


def test_a_submitted_job_runs_on_the_cluster_with_its_spec_and_only_once_at_a_time(
    submissions: Submissions, made: JobWorld
) -> None:
    arguments = arguments_of(load_spec("ingest_events", None, ["batch_size=1000"]))
    submission_id = submissions.submit_alone("ingest_events", arguments, by="a test")
    with pytest.raises(Conflict, match=f"ingest_events is running already, as {submission_id}"):
        submissions.submit_alone("ingest_events", by="another test")
    until(lambda: ended(submissions, submission_id), lambda: submissions.logs(submission_id))
    told, found = submissions.logs(submission_id), submissions.find(submission_id)
    assert found.succeeded, told
    assert (found.job, found.by) == ("ingest_events", "a test")
    assert f"{made.world.events.num_rows:,}" in told


def test_a_submitted_job_that_fails_says_why(submissions: Submissions) -> None:
    arguments = arguments_of(load_spec("train_retrieval", None, ["features=nowhere"]))
    submission_id = submissions.submit("train_retrieval", arguments, by="a test")
    until(lambda: ended(submissions, submission_id), lambda: submissions.logs(submission_id))
    assert not submissions.find(submission_id).succeeded
    assert "no build_features run 'nowhere'" in submissions.logs(submission_id)


def test_a_submission_that_nobody_made_is_not_found(submissions: Submissions) -> None:
    with pytest.raises(NotFound, match="raysubmit_nothing"):
        submissions.logs("raysubmit_nothing")


def test_a_cluster_that_is_gone_is_said_to_be_so_at_once() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9: .*refused"):
        reach("127.0.0.1:9")


@pytest.mark.slow
def test_ctrl_c_leaves_no_process_of_a_local_cluster(made: JobWorld, tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    run_job("ingest_events", made.settings)
    process = job_process(made, "build_features", log=log)
    children: list[psutil.Process] = []
    try:
        until(lambda: "reading events" in log.read_text() or process.poll() is not None, log.read_text)
        assert process.poll() is None, log.read_text()
        children = psutil.Process(process.pid).children(recursive=True)
        assert any("raylet" in child.name() for child in children)
        process.send_signal(signal.SIGINT)
        process.wait(DEADLINE_S)
    finally:
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=60)
    assert process.returncode != 0
    assert not alive, [child.cmdline()[:3] for child in alive]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["train_everything"], 2, "choose one of ingest_events"),
        (["build_index", "--set", "towers=nowhere"], 2, "run the job train_retrieval"),
        (["build_index", "--set", "colour=3"], 2, "unknown key; allowed here are towers"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_with_an_exit_code(
    made: JobWorld,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    for name, value in environment_of(made.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["python -m jobs", *arguments])
    try:
        ended_with: object = main()
    except SystemExit as exc:  # how Typer ends where the arguments are wrong
        ended_with = exc.code
    said = capsys.readouterr().err
    assert ended_with == code, said
    assert told in said
    assert "Traceback" not in said
