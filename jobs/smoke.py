"""Questions to a release before it goes live: the stages that serve, in one process, asked like the service."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.directory import PostgresLearnerDirectory
from app.adapters.redis_features import RedisFeatures
from app.adapters.release_files import fetch_release
from app.domain.ids import canonical_id
from app.domain.slates import ServedBy
from app.models.release import load_release
from app.policy.knobs import Policy
from app.policy.promotion import Smoke
from app.recommend.batch import Budget, RequestBatch
from app.recommend.recommend import recommend
from app.settings import Settings, prepare_process
from jobs.local_stages import LocalStages
from jobs.ray_session import on_cluster, ray_session

NUM_LEARNERS, NUM_WANTED, PATIENCE_S = 64, 10, 60.0
NOBODY = "a learner whom no release knows"


def smoke(settings: Settings, release_ids: Sequence[str]) -> list[Smoke]:
    """Each release's answers, to learners who were active lately. Raises NotFound: the files of one are gone."""
    with ray_session(settings):
        return on_cluster(_smoke, settings, tuple(release_ids))


def _smoke(settings: Settings, release_ids: Sequence[str]) -> list[Smoke]:
    prepare_process(settings=settings)
    return asyncio.run(_ask_each(settings, release_ids))


async def _ask_each(settings: Settings, release_ids: Sequence[str]) -> list[Smoke]:
    store, folder = ObjectStore(settings.object_store_uri), settings.var_dir / "releases"
    keyring = load_keyring(settings)
    releases = [load_release(fetch_release(store, one, folder), keyring) for one in release_ids]
    features = RedisFeatures(settings.need("redis_url"))
    found = []
    async with PostgresLearnerDirectory(settings.need("postgres_url")) as directory, features:
        asked = (canonical_id(NOBODY), *await directory.active(limit=NUM_LEARNERS))
        for release in releases:
            stages = LocalStages(release, directory=directory, features=features, num_threads=1)
            batch = RequestBatch(asked, (NUM_WANTED,) * len(asked), time.monotonic() + PATIENCE_S)
            budget = Budget(Policy(), batch.deadline, time.monotonic)
            outcome = await recommend(batch, release=release, stages=stages, budget=budget, now=datetime.now(UTC))
            found.append(
                Smoke(
                    num_asked=len(asked),
                    num_empty=sum(not slate.items for slate in outcome.slates),
                    num_ranked=sum(slate.served_by is ServedBy.RANKER for slate in outcome.slates),
                    num_faults=len(outcome.faults),
                )
            )
    return found
