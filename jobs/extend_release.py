"""New contents into what is live, without training: the release again, with more rows behind its own.

The item tower knows their features, though not their ids; nothing that is trained changes. The collection is the live
release's own, which passes over keys that it does not know, so that both may be served at once.
"""

import shutil
import tempfile
from dataclasses import fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from app.adapters.faiss_index import extend_faiss
from app.adapters.milvus_store import MilvusStore
from app.adapters.release_files import RELEASES, fetch_release
from app.domain.releases import MANIFEST, PRODUCTION, Manifest
from app.errors import NotFound
from app.features.catalogue import ContentArrays
from app.models.item_tower import ItemTower
from app.models.release import CATALOGUE_FOLDER, INDEX_FILE, ITEMS_FOLDER, Release, load_release
from app.models.user_tower import TOWER_FOLDER
from app.settings import Settings
from jobs import stores
from jobs.artefacts import INDEXES, file_hashes
from jobs.job import JobResult
from jobs.progress import steps
from jobs.releases import find_release, make_live, registry


def extend(settings: Settings) -> JobResult:
    """Embed what PostgreSQL has and the live release has not, and make the longer release live.

    Raises NotFound: no release is live, or it was trained before item towers were kept.
    """
    with registry(settings) as known:
        live = known.aliased(PRODUCTION)
        if live is None:
            raise NotFound("no release is in production: `learnrec job run pipeline --set promote=true` makes one")
        base = find_release(known, live)
        store = stores.objects(settings)
        release = load_release(fetch_release(store, live, settings.var_dir / "releases"))
        new = _new_contents(settings, release)
        if not new.num_rows:
            return JobResult(INDEXES.job, live, {"num_new": 0.0}, None, reused=True)
        with steps(INDEXES.job, 3) as advance, tempfile.TemporaryDirectory() as work:
            advance(0, f"{new.num_rows:,} new contents")
            folder = Path(work) / "release"
            embeddings, created_at = _write_extended(release, new, folder)
            advance(1, f"vectors into {base.collection}")
            ids = new["content_id"].to_pylist()
            MilvusStore(settings.need("milvus_uri")).add(
                base.collection, ids, embeddings=embeddings, created_at=created_at
            )
            manifest = _manifest(base, ids, hashes=file_hashes(folder))
            advance(2, f"release {manifest.release_id}")
            store.upload(folder, f"{RELEASES}/{manifest.release_id}")
            store.write(f"{RELEASES}/{manifest.release_id}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
        known.register(manifest)
        make_live(manifest, known, settings)
    return JobResult(INDEXES.job, manifest.release_id, {"num_new": float(new.num_rows)}, None, reused=False)


def _new_contents(settings: Settings, release: Release) -> pa.Table:
    """Rows of CONTENT_SCHEMA, by id."""
    with stores.warehouse(settings) as warehouse:
        contents = warehouse.read("contents")
    there = release.catalogue.index_of(contents["content_id"].to_pylist()) >= 0
    return contents.filter(pa.array(~there)).sort_by("content_id").combine_chunks()


def _write_extended(release: Release, new: pa.Table, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """The release's folder with more contents, but for its manifest; embeddings and times of the new ones."""
    tower, now = ItemTower.load(release.folder / TOWER_FOLDER), int(datetime.now(UTC).timestamp())
    catalogue = release.catalogue.extended(new)
    rows = slice(len(release.catalogue), None)
    fresh = ContentArrays(*(getattr(catalogue.arrays, field.name)[rows] for field in fields(ContentArrays)))
    embeddings = tower.embed(fresh, now=now)
    shutil.copytree(release.folder, folder, ignore=shutil.ignore_patterns(MANIFEST, INDEX_FILE))
    catalogue.save(folder / CATALOGUE_FOLDER)
    release.items.extended(catalogue.arrays, embeddings, now=now).save(folder / ITEMS_FOLDER)
    extend_faiss(release.faiss_path, embeddings, out=folder / INDEX_FILE)
    return embeddings, fresh.created_at


def _manifest(base: Manifest, content_ids: list[str], *, hashes: dict[str, str]) -> Manifest:
    told = sha256("\n".join([base.release_id, *content_ids]).encode()).hexdigest()[:12]
    changes = {
        "release_id": told,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "num_contents": base.num_contents + len(content_ids),
        "files": hashes,
    }
    return base.model_copy(update=changes)
