"""A small installation without Ray for tests of backups: what is in it, and how all of it is destroyed."""

import asyncio
import json
import shutil
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from pydantic import SecretStr
from redis import Redis

from app.adapters.keyring import load_keyring
from app.adapters.milvus_store import MilvusStore, _release_aliases
from app.adapters.mlflow_registry import RegistryState
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.directory import PostgresLearnerDirectory
from app.adapters.postgres.migrations import migrate
from app.adapters.redis_features import RedisFeatures
from app.adapters.release_files import fetch_release
from app.domain.slates import Slate
from app.models.release import load_release
from app.policy.knobs import Policy
from app.recommend.batch import Budget, RequestBatch
from app.recommend.recommend import recommend
from app.settings import Settings
from cluster.backup.manifest import BUCKETS
from cluster.backup.mlflow_files import DATABASE
from cluster.backup.save import Source
from jobs.local_stages import LocalStages
from jobs.releases import registry

COLLECTIONS = ("learnrec_first", "learnrec_second")  # Milvus has others, of other tests
ORDERED = {
    "users": "user_id",
    "contents": "content_id",
    "events": "event_id",
    "completions": "user_id, content_id",
    "schedule_runs": "run_id",
    "erasures": "learner",
    "audit": "seq",
}


@dataclass(frozen=True)
class House:
    """`pristine` is the database of an MLflow that nobody has used yet."""

    settings: Settings
    mlflow_home: Path
    pristine: Path

    @property
    def source(self) -> Source:
        return Source(self.settings, self.mlflow_home)

    @property
    def store(self) -> ObjectStore:
        return ObjectStore(self.settings.object_store_uri)

    def moved(self, object_store: str) -> "House":
        """The same keys and servers, with objects elsewhere."""
        keys = {
            "pseudonym_keys": SecretStr(self.settings.pseudonym_keys_path.read_text().strip()),
            "receipt_key": SecretStr(self.settings.receipt_key_path.read_text()),
        }
        return replace(self, settings=self.settings.model_copy(update={"object_store": object_store, **keys}))

    def rows(self, table: str) -> list[str]:
        with psycopg.connect(self.settings.need("postgres_url"), options="-c timezone=UTC") as connection:
            query = f"SELECT t::text FROM {table} AS t ORDER BY {ORDERED[table]}"
            return [line for (line,) in connection.execute(query.encode())]

    def execute(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.settings.need("postgres_url"), autocommit=True) as connection:
            connection.execute(statement.encode(), values)

    def objects(self) -> dict[str, bytes]:
        names = [f"{bucket}/{name}" for bucket in BUCKETS for name in self.store.files(bucket)]
        return {name: self.store.read(name) for name in names}

    def registered(self) -> RegistryState:
        with registry(self.settings) as known:
            return known.state()

    def everything(self) -> dict[str, Any]:
        tables = {table: self.rows(table) for table in ORDERED}
        return {**tables, "objects": self.objects(), "registry": self.registered()}

    def answers(self, release_id: str, user_ids: list[str], now: datetime) -> tuple[Slate, ...]:
        """As a batch of requests gets them, from whatever the stores hold."""
        return asyncio.run(self._answers(release_id, user_ids, now))

    async def _answers(self, release_id: str, user_ids: list[str], now: datetime) -> tuple[Slate, ...]:
        folder = fetch_release(self.store, release_id, self.settings.var_dir / "releases")
        release = load_release(folder, load_keyring(self.settings))
        features = RedisFeatures(self.settings.need("redis_url"))
        async with PostgresLearnerDirectory(self.settings.need("postgres_url")) as directory, features:
            stages = LocalStages(release, directory=directory, features=features, num_threads=1)
            batch = RequestBatch(tuple(user_ids), (10,) * len(user_ids), time.monotonic() + 60)
            outcome = await recommend(
                batch, release=release, stages=stages, budget=Budget(Policy(), batch.deadline, time.monotonic), now=now
            )
        assert not outcome.faults
        return outcome.slates

    def learners(self) -> list[str]:
        """Five of them."""
        with psycopg.connect(self.settings.need("postgres_url")) as connection:
            query = "SELECT user_id::text FROM users ORDER BY user_id LIMIT 5"
            return [name for (name,) in connection.execute(query)]

    def runs(self) -> dict[str, float]:
        """MLflow's own, that have their files: names and a metric."""
        from mlflow import MlflowClient

        client = MlflowClient(self.settings.need("mlflow_uri"))
        (experiment,) = [one for one in client.search_experiments() if one.name == "learnrec"]
        found = client.search_runs([experiment.experiment_id])
        for run in found:
            assert json.loads(Path(client.download_artifacts(run.info.run_id, "notes.json")).read_text())
        return {run.info.run_name or "": run.data.metrics["ndcg"] for run in found}

    def destroy(self) -> None:
        """Every store as a newcomer's: a database without a row, no object, no run, no vector, nothing in Redis."""
        self.execute("DROP SCHEMA public CASCADE")
        self.execute("CREATE SCHEMA public")
        migrate(self.settings.need("postgres_url"))
        for folder in (*BUCKETS, ".partial"):
            self.store.remove(folder)
        shutil.rmtree(self.settings.var_dir / "releases", ignore_errors=True)
        shutil.copyfile(self.pristine, self.mlflow_home / DATABASE)
        shutil.rmtree(self.mlflow_home / "artifacts")
        (self.mlflow_home / "artifacts").mkdir()
        milvus = MilvusStore(self.settings.need("milvus_uri"))
        for collection in COLLECTIONS:
            with milvus._client() as client:
                if client.has_collection(collection):
                    _release_aliases(client, collection)
                    client.drop_collection(collection)
        with Redis.from_url(self.settings.need("redis_url")) as client:
            client.flushall()
