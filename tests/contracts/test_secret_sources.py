"""Where secrets may come from: every source gives the same settings, and says alike what it cannot give."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from app.errors import InvalidInput, Unavailable
from app.settings import load_settings, unknown_variables

POSTGRES, PASSWORD = "postgresql://learnrec:s3cret@db.internal/learnrec", "of kafka: ünïcode"
SECRETS = {"LEARNREC_POSTGRES_URL": POSTGRES, "LEARNREC_KAFKA_SASL_PASSWORD": PASSWORD}
Given = Callable[[Mapping[str, str]], None]


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The address of a server that answers like AWS's."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["environment", "named files", "a folder", "aws"])
def given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Given:
    """Puts secrets where the source under test finds them."""
    monkeypatch.setenv("LEARNREC_VAR_DIR", str(tmp_path / "var"))

    def environment(secrets: Mapping[str, str]) -> None:
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)

    def named_files(secrets: Mapping[str, str]) -> None:
        for name, value in secrets.items():
            (path := tmp_path / name.lower()).write_text(value + "\n")
            monkeypatch.setenv(f"{name}_FILE", str(path))

    def folder(secrets: Mapping[str, str]) -> None:
        """As Kubernetes mounts them: links to the files of a version."""
        version = tmp_path / "secrets" / "..2026_01_01"
        version.mkdir(parents=True)
        (tmp_path / "secrets" / "..data").symlink_to(version.name)
        for name, value in secrets.items():
            (version / name).write_text(value)
            (tmp_path / "secrets" / name).symlink_to(Path("..data") / name)
        monkeypatch.setenv("LEARNREC_SECRETS_DIR", str(tmp_path / "secrets"))

    def of_aws(secrets: Mapping[str, str]) -> None:
        address = at_aws(request.getfixturevalue("aws"), monkeypatch)
        client = boto3.client("secretsmanager", endpoint_url=address)
        client.create_secret(Name=tmp_path.name, SecretString=json.dumps(dict(secrets)))
        monkeypatch.setenv("LEARNREC_SECRETS_AWS", tmp_path.name)

    ways = {"environment": environment, "named files": named_files, "a folder": folder, "aws": of_aws}
    return ways[request.param]


def at_aws(address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of aws")
    return address


def test_secrets_arrive_whole_and_are_not_shown(given: Given) -> None:
    given(SECRETS)
    settings = load_settings()
    assert settings.need("postgres_url") == POSTGRES
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == PASSWORD
    assert settings.redis_url is None
    for shown in (repr(settings), str(settings), f"{settings!r:>10}"):
        assert "s3cret" not in shown
        assert PASSWORD not in shown
        assert "db.internal" in shown
    assert not unknown_variables()


def test_what_comes_from_a_source_is_external_like_any_address(given: Given) -> None:
    given(SECRETS)
    assert load_settings(embedded=False).model_fields_set >= {"postgres_url", "kafka_sasl_password"}


def test_a_secret_that_does_not_validate_is_told_without_its_value(given: Given) -> None:
    given({"LEARNREC_HTTP_PORT": "s3cret"})
    with pytest.raises(InvalidInput, match="LEARNREC_HTTP_PORT") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_the_environment_goes_before_files_and_named_ones_before_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "named").write_text("redis://named/0")
    (tmp_path / "learnrec_redis_url").write_text("redis://folder/0")
    (tmp_path / "learnrec_mlflow_uri").write_text("http://folder")
    monkeypatch.setenv("LEARNREC_SECRETS_DIR", str(tmp_path))
    assert load_settings().redis_url == "redis://folder/0"
    monkeypatch.setenv("LEARNREC_REDIS_URL_FILE", str(tmp_path / "named"))
    assert load_settings().redis_url == "redis://named/0"
    monkeypatch.setenv("LEARNREC_REDIS_URL", "redis://environment/0")
    assert (load_settings().redis_url, load_settings().mlflow_uri) == ("redis://environment/0", "http://folder")


@pytest.mark.parametrize("damage", ["missing", "a folder", "no text", "a link out of the folder"])
def test_a_file_that_cannot_be_read_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "secrets" / "LEARNREC_REDIS_URL"
    path.parent.mkdir()
    if damage == "a folder":
        path.mkdir()
    elif damage == "no text":
        path.write_bytes(b"\xff\xfe")
    elif damage == "a link out of the folder":
        (tmp_path / "elsewhere").write_text("redis://elsewhere/0")
        path.symlink_to(tmp_path / "elsewhere")
        monkeypatch.setenv("LEARNREC_SECRETS_DIR", str(path.parent))
        with pytest.warns(UserWarning, match="resolves outside"):
            assert load_settings().redis_url is None
        return
    monkeypatch.setenv("LEARNREC_REDIS_URL_FILE", str(path))
    with pytest.raises(InvalidInput, match="a secret cannot be read"):
        load_settings()


@pytest.mark.parametrize(
    ("value", "error"),
    [(None, "ResourceNotFound"), ("no JSON: s3cret", "secret"), ('{"LEARNREC_HTTP_PORT": "s3cret"}', "HTTP_PORT")],
)
def test_an_aws_secret_that_is_none_stops_the_start_and_is_not_told(
    aws: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None, error: str
) -> None:
    client = boto3.client("secretsmanager", endpoint_url=at_aws(aws, monkeypatch))
    if value:
        client.create_secret(Name=tmp_path.name, SecretString=value)
    monkeypatch.setenv("LEARNREC_SECRETS_AWS", tmp_path.name)
    with pytest.raises((InvalidInput, Unavailable), match=error) as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_a_rotated_secret_is_taken_at_the_next_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (path := tmp_path / "url").write_text("redis://:old@host/0")
    monkeypatch.setenv("LEARNREC_REDIS_URL_FILE", str(path))
    assert load_settings().redis_url == "redis://:old@host/0"
    path.write_text("redis://:new@host/0")
    assert load_settings().redis_url == "redis://:new@host/0"
