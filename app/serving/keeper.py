"""Releases in one replica: what is in production is loaded in the background, and warm before it is used.

The registry is asked from a thread of its own, never on the request path. What was live a moment ago stays loaded as
long as requests under way ask for it.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from app.adapters.keyring import load_keyring
from app.adapters.mlflow_registry import MlflowRegistry
from app.adapters.object_store import ObjectStore
from app.adapters.release_files import fetch_release
from app.domain.releases import PRODUCTION, Trial
from app.errors import LearnrecError
from app.models.release import Release, load_release
from app.settings import Settings

T = TypeVar("T")
POLL_S = 2.0
RETRY_LOADING_S = 10.0
LINGER_S = 30.0
"""A release that is neither live nor on trial is freed when nobody has asked for it for so long."""

_LOG = logging.getLogger(__name__)


class ReleaseKeeper(Generic[T]):
    """`load` makes of a release what this replica serves from, warmed up; `drop` frees it."""

    def __init__(
        self, settings: Settings, load: Callable[[Release], T], *, drop: Callable[[T], None] = lambda _: None
    ) -> None:
        self._folder = settings.var_dir / "releases"
        self._store = ObjectStore(settings.object_store_uri)
        self._registry = MlflowRegistry(settings.need("mlflow_uri"))
        self._keyring = load_keyring(settings)
        self._load, self._drop = load, drop
        self._loaded: dict[str, T] = {}  # replaced, never changed: readers need no lock
        self._used_at: dict[str, float] = {}
        self._asked_for: str | None = None
        self._failed: dict[str, tuple[float, str]] = {}  # release id -> when to try it again, and why
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="release-keeper", daemon=True)
        self.production: str | None = None
        self.trial: Trial | None = None
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
        self._used_at[release_id] = time.monotonic()
        if found is None and release_id != self._asked_for:
            self._asked_for = release_id
            self._wake.set()
        return found

    def end_trial(self, trial: Trial) -> None:
        """Withdraw it for every replica. Raises Unavailable."""
        if self._registry.trial() == trial:
            self._registry.put_on_trial(None)

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
            self.trial = self._registry.trial()
        except LearnrecError as exc:
            fault = str(exc)
            self.production = self.production or _remembered(self._folder)
        asked_for, self._asked_for = self._asked_for, None
        on_trial = self.trial.release_id if self.trial else None
        for release_id in (asked_for, self.production, on_trial):
            if release_id and release_id not in self._loaded:
                not_before, why = self._failed.get(release_id, (0.0, ""))
                fault = (self._take_in(release_id) if time.monotonic() >= not_before else why) or fault
        self._free()
        self.fault = fault  # only now: what was wrong stays said while it is looked at again

    def _take_in(self, release_id: str) -> str | None:
        """Why it does not load, or None."""
        try:
            folder = fetch_release(self._store, release_id, self._folder)
            made = self._load(load_release(folder, self._keyring))
        except Exception as exc:  # noqa: BLE001  # what does not load must not end the thread that waits for the next
            _LOG.exception("release %s does not load", release_id)
            why = f"release {release_id} does not load: {exc}"
            self._failed[release_id] = (time.monotonic() + RETRY_LOADING_S, why)
            return why
        _LOG.info("release %s is loaded", release_id)
        self._loaded = {**self._loaded, release_id: made}
        self._used_at[release_id] = time.monotonic()
        return None

    def _free(self) -> None:
        """What is not needed any more: all but the one that was used last, and that too after a while."""
        needed = {self.production, self.trial.release_id if self.trial else None}
        idle = sorted((name for name in self._loaded if name not in needed), key=self._used_at.__getitem__)
        late = time.monotonic() - LINGER_S
        freed = [name for name in idle if name != idle[-1] or self._used_at[name] < late]
        dropped = [self._loaded[name] for name in freed]
        self._loaded = {name: made for name, made in self._loaded.items() if name not in freed}
        for old in dropped:
            self._drop(old)


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
