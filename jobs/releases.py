"""Which release is live, and which one is on trial: promotion, and the way back."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.adapters.milvus_store import MilvusStore
from app.adapters.mlflow_registry import MlflowRegistry
from app.domain.releases import MANIFEST, PRODUCTION, STAGING, Manifest, Trial
from app.errors import Conflict, InvalidInput, NotFound
from app.policy.promotion import shortfalls, smoke_shortfalls
from app.settings import Settings
from jobs import stores
from jobs.audit import note

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


def promote(settings: Settings, release_id: str | None = None, *, force: bool = False) -> Manifest:
    """Make a release live, by default the one under `staging`; with `force` also where it falls short of the live one.

    A trial of it ends. Raises NotFound: it, its files or its collection do not exist; Conflict: it falls short. Then
    nothing has changed.
    """
    with registry(settings) as known:
        manifest = _wanted(known, release_id)
        live = known.aliased(PRODUCTION)
        if live not in (None, manifest.release_id) and not force:
            _judge(settings, manifest, find_release(known, live))
        note(settings, "promote by force" if force else "promote", manifest.release_id)
        make_live(manifest, known, settings)
        trial = known.trial()
        if trial and trial.release_id == manifest.release_id:
            known.put_on_trial(None)
    return manifest


def put_on_trial(settings: Settings, trial: Trial) -> Trial:
    """Let running replicas answer some requests by a release that is not live.

    Raises NotFound: there is no such release, or its files are gone; Conflict: it is live.
    """
    with registry(settings) as known:
        manifest = find_release(known, trial.release_id)
        if manifest.release_id == known.aliased(PRODUCTION):
            raise Conflict(f"release {manifest.release_id} is live: a trial is for another one")
        _require_files(manifest, settings)
        trial = trial.model_copy(update={"release_id": manifest.release_id})
        note(settings, f"trial: shadow {trial.shadow:g}, canary {trial.canary:g}", trial.release_id)
        known.put_on_trial(trial)
    return trial


def end_trial(settings: Settings) -> Trial | None:
    """The trial that ended, or None: there was none."""
    with registry(settings) as known:
        trial = known.trial()
        if trial:
            note(settings, "end trial", trial.release_id)
            known.put_on_trial(None)
    return trial


def _wanted(known: MlflowRegistry, release_id: str | None) -> Manifest:
    wanted = release_id or known.aliased(STAGING)
    if not wanted:
        raise NotFound("no release is staged: `learnrec job run publish_release` stages one")
    return find_release(known, wanted)


def _judge(settings: Settings, wanted: Manifest, live: Manifest) -> None:
    """Raises Conflict with all that `wanted` lacks beside the live release."""
    from jobs.smoke import smoke  # with it comes Ray, which no other command here needs

    _require_files(wanted, settings)
    found = shortfalls(wanted, live)
    if not found:
        try:
            asked = smoke(settings, (wanted.release_id, live.release_id))
        except NotFound:  # the live release's files: whatever replaces it is better
            asked = smoke(settings, (wanted.release_id,) * 2)
        found = smoke_shortfalls(*asked)
    if found:
        raise Conflict(
            f"release {wanted.release_id} is not promoted, it falls short of {live.release_id}: {'; '.join(found)}; "
            f"`learnrec release promote {wanted.release_id} --force` promotes it all the same"
        )


def rollback(settings: Settings) -> Manifest:
    """Make the release live that was so before; doing it twice brings the present one back.

    Raises Conflict: there was none before.
    """
    with registry(settings) as known:
        before = known.previous(PRODUCTION)
        if before is None:
            raise Conflict("there is no release to go back to: promote one with `learnrec release promote ID`")
        manifest = find_release(known, before)
        note(settings, "rollback", manifest.release_id)
        make_live(manifest, known, settings)
    return manifest


def make_live(manifest: Manifest, known: MlflowRegistry, settings: Settings) -> None:
    """Without any question. Raises NotFound: its files or its collection do not exist."""
    _require_files(manifest, settings)
    MilvusStore(settings.need("milvus_uri")).point(CONTENT_EMBEDDINGS, manifest.collection)
    known.point(PRODUCTION, manifest.release_id)


def _require_files(manifest: Manifest, settings: Settings) -> None:
    store = stores.objects(settings)
    folder = f"learning-models/releases/{manifest.release_id}"
    if not store.exists(f"{folder}/{MANIFEST}"):
        raise NotFound(
            f"the files of release {manifest.release_id} are gone from {store.uri(folder)}: publish it again"
        )
