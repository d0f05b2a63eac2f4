"""The item tower for contents that it was never trained on, without TensorFlow: what their features say of them."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.errors import NotFound
from app.features.catalogue import ContentArrays

ITEM_TOWER = "item_tower.npz"
"""Beside the user tower's SavedModel."""

DAY_S = 86_400.0
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ItemTower:
    """Weights of `app.models.two_tower.ItemTower`; the vector of an id that it does not know is one for all."""

    unknown: Floats  # [id_dim]
    tags: Floats  # [num_tags + 1, 32], row = tag index + 1
    types: Floats  # [number of CONTENT_TYPES, 4]
    difficulties: Floats  # [6, 8]
    hidden_kernel: Floats
    hidden_bias: Floats
    out_kernel: Floats
    out_bias: Floats
    num_contents: NDArray[np.int64]  # [] of the catalogue that it was trained on

    def embed(self, contents: ContentArrays, *, now: int) -> Floats:
        """Unit vectors `[n, dim]` as of `now` (Unix seconds); tags that it does not know say nothing."""
        carried = (contents.tags >= 0) & (contents.tags + 1 < len(self.tags))
        vectors = self.tags[np.where(carried, contents.tags + 1, 0)] * carried[:, :, None]
        tags = vectors.sum(1) / np.maximum(carried.sum(1), 1)[:, None]
        age = np.maximum(now - contents.created_at, 0).astype(np.float32) / DAY_S
        x = np.concatenate(
            [
                np.broadcast_to(self.unknown, (len(age), len(self.unknown))),
                tags,
                self.types[contents.content_type],
                self.difficulties[np.rint(contents.difficulty).astype(np.int64)],
                np.log1p(age)[:, None] / 4,
            ],
            axis=1,
        )
        made = np.maximum(x @ self.hidden_kernel + self.hidden_bias, 0) @ self.out_kernel + self.out_bias
        return (made / np.maximum(np.linalg.norm(made, axis=1, keepdims=True), 1e-6)).astype(np.float32)

    def save(self, folder: Path) -> None:
        np.savez(folder / ITEM_TOWER, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, folder: Path) -> "ItemTower":
        """Raises NotFound: the towers were trained before this file was written."""
        path = folder / ITEM_TOWER
        if not path.exists():
            raise NotFound(f"{path} is missing: train the towers anew, `learnrec job run pipeline --set force=true`")
        with np.load(path, allow_pickle=False) as stored:
            return cls(**{field.name: stored[field.name] for field in fields(cls)})
