"""A release as served: one folder of towers, vocabulary, catalogue, index and ranker, loaded in parts."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.pseudonyms import PLAIN, Keyring
from app.domain.releases import MANIFEST, Manifest
from app.errors import NotFound
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.drift import FeatureBins, bins_in
from app.features.item_state import Items
from app.models.user_tower import TOWER_FOLDER, UserTower

if TYPE_CHECKING:
    from app.models.ranker import Ranker

CATALOGUE_FOLDER, LEARNERS_FOLDER, ITEMS_FOLDER, RANKER_FOLDER = "catalogue", "learners", "items", "ranker"
INDEX_FILE = "index.faiss"


class Release:
    """Read-only; each part is loaded when first asked for, arrays memory-mapped. Not mixed with any other release."""

    def __init__(self, folder: Path, manifest: Manifest, keyring: Keyring | None = None) -> None:
        self.folder = folder
        self.manifest = manifest
        self._key = keyring.named(manifest.pseudonym_key) if keyring else PLAIN

    @property
    def release_id(self) -> str:
        return self.manifest.release_id

    @property
    def faiss_path(self) -> Path:
        """The FAISS index; its rows are catalogue indices."""
        return self.folder / INDEX_FILE

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue.load(self.folder / CATALOGUE_FOLDER)

    @cached_property
    def vocabulary(self) -> LearnerVocabulary:
        """By ids, where there is a keyring with the release's key, else by what stands in it: nobody is known then."""
        return LearnerVocabulary.load(self.folder / LEARNERS_FOLDER, self._key or PLAIN)

    @cached_property
    def items(self) -> Items:
        return Items.load(self.folder / ITEMS_FOLDER)

    @cached_property
    def bins(self) -> FeatureBins | None:
        """What the ranker was trained on, without the ranker; None of a release from before that was kept."""
        return bins_in(self.folder / RANKER_FOLDER)

    def user_tower(self, *, num_threads: int = 1) -> UserTower:
        """Imports TensorFlow."""
        return UserTower(self.folder / TOWER_FOLDER, num_threads=num_threads)

    def ranker(self, *, num_threads: int = 1) -> "Ranker":
        """Imports XGBoost, which takes seconds and 100 MB: stages that do not rank are spared it."""
        from app.models.ranker import Ranker

        return Ranker.load(self.folder / RANKER_FOLDER, num_threads=num_threads)


def load_release(folder: Path, keyring: Keyring | None = None) -> Release:
    """The release in `folder`. Raises NotFound: it has no manifest, so it was never finished."""
    path = folder / MANIFEST
    if not path.exists():
        raise NotFound(f"{folder} holds no release: no {MANIFEST}; publish one with `learnrec job run publish_release`")
    return Release(folder, Manifest.model_validate_json(path.read_text()), keyring)
