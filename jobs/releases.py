"""Which release is live: promotion, and the way back."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.adapters.milvus_store import MilvusStore
from app.adapters.mlflow_registry import MlflowRegistry
from app.domain.releases import MANIFEST, PRODUCTION, STAGING, Manifest
from app.errors import Conflict, InvalidInput, NotFound
from app.settings import Settings
from jobs import stores

CONTENT_EMBEDDINGS = "content_embeddings"
"""Milvus alias of the live release's collection, for readers outside; serving takes the name from the manifest."""


@contextmanager
def registry(settings: Settings) -> Iterator[MlflowRegistry]:
    """The registry, closed afterwards. Raises InvalidInput where there is no address."""
    opened = MlflowRegistry(settings.need("mlflow_uri"))
    try:
        yield opened
    finally:
        opened.close()


def find_release(known: MlflowRegistry, abbreviated: str) -> Manifest:
    """The one release whose id starts so. Raises NotFound: none does; InvalidInput: several do."""
    manifests = known.manifests()
    found = [m for m in manifests if m.release_id.startswith(abbreviated)]
    exact = [m for m in found if m.release_id == abbreviated]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise InvalidInput(f"{abbreviated!r} is short for {', '.join(m.release_id for m in found)}: give more of it")
    there = ", ".join(m.release_id for m in manifests[:5]) or "none; `learnrec job run pipeline` makes one"
    raise NotFound(f"no release {abbreviated!r}; there are {there}")


def promote(settings: Settings, release_id: str | None = None) -> Manifest:
    """Make a release live, by default the one under `staging`.

    Raises NotFound: it, its files or its collection do not exist; then nothing has changed.
    """
    with registry(settings) as known:
        wanted = release_id or known.aliased(STAGING)
        if not wanted:
            raise NotFound("no release is staged: `learnrec job run publish_release` stages one")
        manifest = find_release(known, wanted)
        _make_live(manifest, known, settings)
    return manifest


def rollback(settings: Settings) -> Manifest:
    """Make the release live that was so before; doing it twice brings the present one back.

    Raises Conflict: there was none before.
    """
    with registry(settings) as known:
        before = known.previous(PRODUCTION)
        if before is None:
            raise Conflict("there is no release to go back to: promote one with `learnrec release promote ID`")
        manifest = find_release(known, before)
        _make_live(manifest, known, settings)
    return manifest


def _make_live(manifest: Manifest, known: MlflowRegistry, settings: Settings) -> None:
    store = stores.objects(settings)
    folder = f"learning-models/releases/{manifest.release_id}"
    if not store.exists(f"{folder}/{MANIFEST}"):
        raise NotFound(
            f"the files of release {manifest.release_id} are gone from {store.uri(folder)}: publish it again"
        )
    MilvusStore(settings.need("milvus_uri")).point(CONTENT_EMBEDDINGS, manifest.collection)
    known.point(PRODUCTION, manifest.release_id)
