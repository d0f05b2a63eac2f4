"""The user tower as served: a SavedModel, which needs neither Keras nor this project's model code to load."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.errors import NotFound
from app.models.item_tower import ITEM_TOWER, ItemTower

TOWER_FOLDER = "user_tower"
TOWER_HISTORY = 50
"""Contents of the history, the most recent, that the tower reads."""

USER_INPUTS = {
    "user_index": ((), np.int32),
    "cohort_index": ((), np.int32),
    "history": ((TOWER_HISTORY,), np.int32),
    "history_age_s": ((TOWER_HISTORY,), np.float32),
    "history_strength": ((TOWER_HISTORY,), np.float32),
    "session_position": ((), np.float32),
    "completion_rate": ((), np.float32),
}
"""What the tower reads of Learners: shape without the batch dimension, and type."""

_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
"""Batches are filled up to one of these, so that no new shape is ever traced on the request path."""


def user_inputs(learners: Learners) -> dict[str, NDArray[Any]]:
    """The part of the features that the tower reads; leading dimension B."""
    return {
        name: np.ascontiguousarray(getattr(learners, name)[:, : shape[0]] if shape else getattr(learners, name), kind)
        for name, (shape, kind) in USER_INPUTS.items()
    }


class UserTower:
    """Embeds learners: one call of a traced function a batch, thread-safe."""

    def __init__(self, folder: Path, *, num_threads: int = 1) -> None:
        """Raises NotFound: the folder holds no SavedModel."""
        import tensorflow as tf  # ten seconds; only embedders pay them

        if not (folder / "saved_model.pb").exists():
            raise NotFound(f"{folder} holds no SavedModel of a user tower: run the job train_retrieval")
        _limit_threads(tf.config.threading, num_threads)
        self._module = tf.saved_model.load(str(folder))
        self._function = self._module.signatures["serving_default"]
        self._tensor = tf.constant
        extensible = (folder / ITEM_TOWER).exists()  # towers of before cannot meet contents that they do not know
        self._num_contents = ItemTower.load(folder).num_contents if extensible else np.iinfo(np.int32).max

    def embed(self, learners: Learners) -> NDArray[np.float32]:
        """Unit vectors `[B, dim]`; contents newer than the tower are left out of the histories."""
        size = len(learners)
        inputs = user_inputs(learners)
        inputs["history"] = np.where(inputs["history"] < self._num_contents, inputs["history"], np.int32(-1))
        parts = [
            self._embed({name: array[at : at + _BUCKETS[-1]] for name, array in inputs.items()})
            for at in range(0, size, _BUCKETS[-1])
        ]
        return np.concatenate(parts)

    def _embed(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        size = len(inputs["user_index"])
        bucket = next(b for b in _BUCKETS if b >= size)
        padded = {
            name: np.pad(array, ((0, bucket - size), *((0, 0),) * (array.ndim - 1))) for name, array in inputs.items()
        }
        result = self._function(**{name: self._tensor(array) for name, array in padded.items()})
        return result["embedding"].numpy()[:size]

    def warm_up(self, max_batch: int) -> None:
        """Run every batch size up to `max_batch` once."""
        for bucket in (b for b in _BUCKETS if b <= max_batch):
            blank = {name: np.zeros((bucket, *shape), kind) for name, (shape, kind) in USER_INPUTS.items()}
            self._embed(blank)


def _limit_threads(threading: object, num_threads: int) -> None:
    try:
        threading.set_intra_op_parallelism_threads(num_threads)  # type: ignore[attr-defined]  # tf ships no stubs
        threading.set_inter_op_parallelism_threads(1)  # type: ignore[attr-defined]
    except RuntimeError:
        return  # TensorFlow runs already, with the threads that the process chose first
