"""The registry: which releases exist, and which of them an alias stands for."""

from typing import Protocol

from app.domain.releases import Manifest, Trial


class ReleaseRegistry(Protocol):
    """All raise Unavailable; those that name a release raise NotFound."""

    def register(self, manifest: Manifest) -> None:
        """Make the release known; again for the same id changes nothing."""
        ...

    def manifests(self) -> tuple[Manifest, ...]:
        """Every release, newest first."""
        ...

    def point(self, alias: str, release_id: str) -> None:
        """Let `alias` stand for the release, and remember what it stood for before."""
        ...

    def aliased(self, alias: str) -> str | None:
        """The release id under `alias`, or None."""
        ...

    def previous(self, alias: str) -> str | None:
        """What `alias` stood for before the last `point`, or None."""
        ...


class TrialRegistry(Protocol):
    """Which release is on trial. Both raise Unavailable."""

    def trial(self) -> Trial | None:
        """What is on trial."""
        ...

    def put_on_trial(self, trial: Trial | None) -> None:
        """One release, or none, in the place of what was. Raises NotFound."""
        ...
