"""A small but real release: towers and a ranker trained in seconds on a generated world, published like any other."""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np

from app.adapters.faiss_index import write_faiss
from app.adapters.milvus_store import MilvusStore
from app.adapters.mlflow_registry import MlflowRegistry
from app.adapters.object_store import ObjectStore
from app.adapters.release_files import RELEASES
from app.domain.releases import CALIBRATION_ERROR, FULL, MANIFEST, SCORE_TO_MET, Manifest
from app.features.dataset import Dataset, build_dataset
from app.features.examples import concat_examples, make_examples
from app.features.item_state import items_at
from app.features.ranking import FEATURE_SCHEMA
from app.models.configs import RankerConfig, TowersConfig
from app.models.release import (
    CATALOGUE_FOLDER,
    INDEX_FILE,
    ITEMS_FOLDER,
    LEARNERS_FOLDER,
    RANKER_FOLDER,
    load_release,
)
from app.models.train_ranker import fit_ranker, ranking_set
from app.settings import Settings
from jobs.world.config import WorldConfig
from jobs.world.world import World, make_world

FIRST, SECOND = "first", "second"
WORLD = WorldConfig(num_learners=120, num_contents=80, num_days=30, events_per_learner=25)


@dataclass(frozen=True, slots=True)
class Tiny:
    """The world that everything is made of."""

    world: World
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Trained:
    folder: Path
    manifest: Manifest


def make_tiny(config: WorldConfig = WORLD) -> Tiny:
    world = make_world(config, 11)
    return Tiny(world, build_dataset(world.contents, world.users, world.events))


def train_two(tiny: Tiny, folder: Path) -> dict[str, Trained]:
    """FIRST and SECOND, of different dimensions: any mixing of the two fails loudly."""
    return {name: train_release(tiny, name, folder / name, dim=dim) for name, dim in ((FIRST, 32), (SECOND, 24))}


def train_release(tiny: Tiny, release_id: str, folder: Path, *, dim: int) -> Trained:
    """Everything that a release holds, in `folder`."""
    from app.models.train_towers import fit_towers

    catalogue, vocabulary, events = tiny.dataset.catalogue, tiny.dataset.vocabulary, tiny.dataset.events
    examples = concat_examples(list(make_examples(events, cohort_of_user=vocabulary.cohort_of_user)))
    config = TowersConfig(embedding_dim=dim, hidden_dim=32, id_dim=8, user_dim=8, num_epochs=1, batch_size=256)
    nothing = examples.take(np.zeros(len(examples), np.bool_))
    towers = fit_towers(examples, nothing, catalogue=catalogue, vocabulary=vocabulary, config=config)
    embeddings = towers.item_embeddings
    now = int(events.ts.max()) + 1
    items = items_at(tiny.dataset.pairs, embeddings, catalogue=catalogue, vocabulary=vocabulary, now=now)
    spec = RankerConfig(num_trees=5, max_depth=3, num_folds=2, max_queries=500)
    data = ranking_set(examples, towers.embed(examples.learners), items=items, config=spec)
    fitted = fit_ranker(data, config=spec, num_threads=1)
    towers.save(folder)
    catalogue.save(folder / CATALOGUE_FOLDER)
    vocabulary.save(folder / LEARNERS_FOLDER)
    items.save(folder / ITEMS_FOLDER)
    fitted.ranker.save(folder / RANKER_FOLDER)
    write_faiss(folder / INDEX_FILE, embeddings)
    return Trained(folder, _described(release_id, folder, tiny=tiny, dim=dim))


def publish(settings: Settings, trained: Trained) -> None:
    """Into the object store, Milvus and the registry; not into production."""
    manifest, release = trained.manifest, load_release(trained.folder)
    MilvusStore(settings.need("milvus_uri")).build(
        manifest.collection,
        release.catalogue.content_ids,
        embeddings=release.items.embeddings,
        created_at=release.catalogue.arrays.created_at,
    )
    register(settings, trained)


def register(settings: Settings, trained: Trained) -> None:
    """The same, but for Milvus."""
    manifest, folder = trained.manifest, f"{RELEASES}/{trained.manifest.release_id}"
    store = ObjectStore(settings.object_store_uri)
    store.upload(trained.folder, folder)
    store.write(f"{folder}/{MANIFEST}", manifest.model_dump_json().encode())
    registry = MlflowRegistry(settings.need("mlflow_uri"))
    registry.register(manifest)
    registry.close()


def _described(release_id: str, folder: Path, *, tiny: Tiny, dim: int) -> Manifest:
    files = {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest = Manifest(
        release_id=release_id,
        created_at=datetime.now(UTC).isoformat(),
        feature_schema=FEATURE_SCHEMA,
        embedding_dim=dim,
        num_contents=len(tiny.dataset.catalogue),
        num_learners=len(tiny.dataset.vocabulary),
        collection=f"learnrec_{release_id}",
        data_snapshot="tiny",
        data_until=datetime.fromtimestamp(int(tiny.dataset.events.ts.max()), UTC).isoformat(),
        runs={},
        metrics={FULL: {CALIBRATION_ERROR: 0.1, SCORE_TO_MET: 1.5}},
        files=files,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return manifest
