"""The part of `publish_release` that runs on the cluster: one folder of everything that serving loads."""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.adapters.object_store import ObjectStore
from app.features.dataset import Dataset
from app.features.item_state import items_at
from app.models.release import CATALOGUE_FOLDER, INDEX_FILE, ITEMS_FOLDER, LEARNERS_FOLDER, RANKER_FOLDER
from app.models.timeline import Timeline
from app.models.user_tower import TOWER_FOLDER
from jobs.artefacts import WEIGHTS, file_hashes
from jobs.snapshots import Snapshot
from jobs.towers_loop import FINAL, TIMELINE


@dataclass(frozen=True, slots=True)
class ReleaseTask:
    """The folders that the release is made from, and its own."""

    store_uri: str
    snapshot: Snapshot
    towers: str
    ranker: str
    index: str
    folder: str


def assemble(task: ReleaseTask) -> tuple[dict[str, str], int]:
    """Write the release's folder, all but its manifest; SHA-256 of every file, by path, and when its data end."""
    store = ObjectStore(task.store_uri)
    snapshot = task.snapshot
    dataset = Dataset(snapshot.catalogue(), snapshot.vocabulary(), snapshot.events())
    with tempfile.TemporaryDirectory() as work:
        folder, timeline = Path(work) / "release", Path(work) / TIMELINE
        folder.mkdir()
        timeline.write_bytes(store.read(f"{task.towers}/{TIMELINE}"))
        dataset.catalogue.save(folder / CATALOGUE_FOLDER)
        dataset.vocabulary.save(folder / LEARNERS_FOLDER)
        embeddings, end = _array(store, f"{task.towers}/{FINAL}/item_embeddings.npy"), Timeline.load(timeline).end
        items = items_at(
            dataset.pairs,
            embeddings,
            catalogue=dataset.catalogue,
            vocabulary=dataset.vocabulary,
            now=end,
            weights=_array(store, f"{task.ranker}/{WEIGHTS}"),
        )
        items.save(folder / ITEMS_FOLDER)
        store.download(f"{task.towers}/{FINAL}/{TOWER_FOLDER}", folder / TOWER_FOLDER)
        store.download(f"{task.ranker}/{RANKER_FOLDER}", folder / RANKER_FOLDER)
        (folder / INDEX_FILE).write_bytes(store.read(f"{task.index}/{INDEX_FILE}"))
        hashes = file_hashes(folder)
        store.upload(folder, task.folder)
    return hashes, end


def _array(store: ObjectStore, path: str) -> np.ndarray:
    return np.load(io.BytesIO(store.read(path)), allow_pickle=False)
