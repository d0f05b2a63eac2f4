"""Collections of Milvus anew from the files of the releases that may be served: Milvus holds nothing of its own."""

from collections.abc import Callable

from app.adapters.milvus_store import MilvusStore
from app.adapters.release_files import fetch_release
from app.domain.releases import CANDIDATE, PRODUCTION, STAGING, Manifest
from app.errors import NotFound
from app.models.release import load_release
from app.settings import Settings
from jobs import stores
from jobs.releases import CONTENT_EMBEDDINGS, find_release, registry


def rebuild_index(
    settings: Settings, *, only_missing: bool = False, tell: Callable[[Manifest], None] = lambda _: None
) -> list[Manifest]:
    """Of the releases in production, before it, staged and on trial; `tell` hears of each before it is built.

    Releases that share a collection are those of one index, the longer with more contents: it is built from that one.
    Raises NotFound: no release is live, or its files are gone; Unavailable: a store does not answer.
    """
    with registry(settings) as known:
        live = known.aliased(PRODUCTION)
        if live is None:
            raise NotFound("no release is in production: `learnrec release promote` makes one live")
        wanted = {live, known.previous(PRODUCTION), known.aliased(STAGING), known.aliased(CANDIDATE)}
        found = [find_release(known, release_id) for release_id in sorted(filter(None, wanted))]
    longest: dict[str, Manifest] = {}
    for manifest in sorted(found, key=lambda one: (one.num_contents, one.release_id)):
        longest[manifest.collection] = manifest
    milvus = MilvusStore(settings.need("milvus_uri"))
    there = milvus.collections() if only_missing else ()
    made = [manifest for collection, manifest in longest.items() if collection not in there]
    for manifest in made:
        tell(manifest)
        _build(settings, milvus, manifest)
    (served,) = [manifest for manifest in found if manifest.release_id == live]
    milvus.point(CONTENT_EMBEDDINGS, served.collection)
    return made


def _build(settings: Settings, milvus: MilvusStore, manifest: Manifest) -> None:
    release = load_release(fetch_release(stores.objects(settings), manifest.release_id, settings.var_dir / "releases"))
    milvus.build(
        manifest.collection,
        release.catalogue.content_ids,
        embeddings=release.items.embeddings,
        created_at=release.catalogue.arrays.created_at,
    )
