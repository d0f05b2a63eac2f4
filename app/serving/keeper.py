"""Releases in one replica: what is in production is loaded in the background, and warm before it is used.

The registry is asked from a thread of its own, never on the request path. Two releases stay loaded, so that requests
under way finish with the one they began with.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from app.adapters.mlflow_registry import MlflowRegistry
from app.adapters.object_store import ObjectStore
from app.adapters.release_files import fetch_release
from app.domain.releases import PRODUCTION
from app.errors import LearnrecError
from app.models.release import Release, load_release
from app.settings import Settings

T = TypeVar("T")
POLL_S = 2.0
RETRY_LOADING_S = 10.0
KEPT = 2
_LOG = logging.getLogger(__name__)


class ReleaseKeeper(Generic[T]):
    """`load` makes of a release what this replica serves from, warmed up; `drop` frees it."""

    def __init__(
        self, settings: Settings, load: Callable[[Release], T], *, drop: Callable[[T], None] = lambda _: None
    ) -> None:
        self._folder = settings.var_dir / "releases"
        self._store = ObjectStore(settings.object_store_uri)
        self._registry = MlflowRegistry(settings.need("mlflow_uri"))
        self._load, self._drop = load, drop
        self._loaded: dict[str, T] = {}  # replaced, never changed: readers need no lock
        self._asked_for: str | None = None
        self._failed: dict[str, tuple[float, str]] = {}  # release id -> when to try it again, and why
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="release-keeper", daemon=True)
        self.production: str | None = None
        self.fault: str | None = None  # why the registry or the release could not be read the last time

    def start(self) -> None:
        """The first look happens here, so that a replica which reports ready is warm."""
        self._look()
        self._thread.start()

    def close(self) -> None:
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._registry.close()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def held(self) -> tuple[str, ...]:
        return tuple(self._loaded)

    def get(self, release_id: str) -> T | None:
        """What the release was made into; None where it is not loaded, which it will be soon, if it exists."""
        found = self._loaded.get(release_id)
        if found is None and release_id != self._asked_for:
            self._asked_for = release_id
            self._wake.set()
        return found

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.wait(POLL_S)
            self._wake.clear()
            if not self._stopped.is_set():
                self._look()

    def _look(self) -> None:
        """Ask what is in production, and load what is wanted and not there."""
        fault = None
        try:
            self.production = self._registry.aliased(PRODUCTION)
            _remember(self._folder, self.production)
        except LearnrecError as exc:
            fault = str(exc)
            self.production = self.production or _remembered(self._folder)
        asked_for, self._asked_for = self._asked_for, None
        for release_id in (asked_for, self.production):
            if release_id and release_id not in self._loaded:
                not_before, why = self._failed.get(release_id, (0.0, ""))
                fault = (self._take_in(release_id) if time.monotonic() >= not_before else why) or fault
        self.fault = fault  # only now: what was wrong stays said while it is looked at again

    def _take_in(self, release_id: str) -> str | None:
        """Why it does not load, or None."""
        try:
            made = self._load(load_release(fetch_release(self._store, release_id, self._folder)))
        except Exception as exc:  # noqa: BLE001  # what does not load must not end the thread that waits for the next
            _LOG.exception("release %s does not load", release_id)
            why = f"release {release_id} does not load: {exc}"
            self._failed[release_id] = (time.monotonic() + RETRY_LOADING_S, why)
            return why
        _LOG.info("release %s is loaded", release_id)
        kept = {**self._loaded, release_id: made}
        surplus = [name for name in kept if name not in (self.production, release_id)][: max(0, len(kept) - KEPT)]
        dropped = [kept.pop(name) for name in surplus]
        self._loaded = kept
        for old in dropped:
            self._drop(old)
        return None


def _remember(folder: Path, release_id: str | None) -> None:
    """So that a replica that starts while the registry is away serves what this node served last."""
    path = folder / PRODUCTION
    if release_id is None:
        path.unlink(missing_ok=True)
    elif _remembered(folder) != release_id:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{PRODUCTION}.{threading.get_native_id()}")
        partial.write_text(release_id)
        partial.replace(path)


def _remembered(folder: Path) -> str | None:
    path = folder / PRODUCTION
    try:
        return path.read_text() or None
    except FileNotFoundError:
        return None
