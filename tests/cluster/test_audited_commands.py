"""What somebody with a shell does to what is live is noted, and done also where it cannot be."""

import getpass
from pathlib import Path
from uuid import uuid4

import pytest

from app.adapters.object_store import ObjectStore
from app.adapters.postgres.audit import PostgresAudit
from app.domain.releases import MANIFEST, Trial
from app.settings import Settings
from cluster.stack.ports import free_ports
from jobs import releases
from tests.released import manifest

RELEASE = f"audited-{uuid4().hex[:8]}"


@pytest.fixture
def settings(mlflow_uri: str, clean_postgres: str, tmp_path: Path) -> Settings:
    """A release is there that is not live."""
    made = Settings(
        var_dir=tmp_path, object_store=tmp_path.as_uri(), postgres_url=clean_postgres, mlflow_uri=mlflow_uri
    )
    made_release = manifest(RELEASE)
    store = ObjectStore(made.object_store_uri)
    store.write(f"learning-models/releases/{RELEASE}/{MANIFEST}", made_release.model_dump_json().encode())
    with releases.registry(made) as known:
        known.register(made_release)
    return made


def test_a_trial_and_its_end_are_noted(settings: Settings) -> None:
    releases.put_on_trial(settings, Trial(release_id=RELEASE, canary=0.25))
    releases.end_trial(settings)

    begun, ended = PostgresAudit(settings.need("postgres_url")).entries()
    assert (begun.action, begun.object, begun.role) == ("trial: shadow 0, canary 0.25", RELEASE, "operator")
    assert begun.actor.startswith(f"{getpass.getuser()}@")
    assert (ended.action, ended.object) == ("end trial", RELEASE)


def test_without_postgresql_it_is_told_and_done(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    away = settings.model_copy(update={"postgres_url": f"postgresql://127.0.0.1:{free_ports(1)[0]}/none"})

    releases.put_on_trial(away, Trial(release_id=RELEASE, canary=0.25))

    assert f"not in the audit log: trial: shadow 0, canary 0.25 of {RELEASE}" in capsys.readouterr().err
    with releases.registry(settings) as known:
        assert known.trial() == Trial(release_id=RELEASE, canary=0.25)
    releases.end_trial(settings)
