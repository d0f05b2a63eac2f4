"""A checkpoint of the towers' training: the model, its optimizer, and what early stopping knows."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.features.examples import Examples
from app.models.stopping import Stopping
from app.models.user_tower import user_inputs

STATE = "state.npz"
MODEL, OPTIMIZER, BEST = "model", "optimizer", "best"


def save_checkpoint(folder: Path, model: Any, stopping: Stopping) -> None:
    """Write the state after an epoch; `model` is a compiled TwoTower that was trained."""
    arrays = {
        **_named(MODEL, model.get_weights()),
        **_named(OPTIMIZER, model.optimizer.get_weights()),
        **_named(BEST, stopping.best),
    }
    counts = {"epoch": stopping.epoch, "best_recall": stopping.best_recall, "waited": stopping.waited}
    everything: dict[str, Any] = {name: np.asarray(value) for name, value in {**counts, **arrays}.items()}
    np.savez(folder / STATE, **everything)


def load_checkpoint(folder: Path, model: Any, stopping: Stopping, *, few: Examples) -> None:
    """Take the state over; a few examples are needed to make the variables of a model that never ran."""
    import tensorflow as tf

    part = few.take(np.arange(min(8, len(few))))
    inputs = {**user_inputs(part.learners), "content": part.content, "strength": part.strength}
    tensors = {name: tf.constant(array) for name, array in {**inputs, "now": part.learners.now}.items()}
    model.compute_loss(tensors)
    model.optimizer._create_all_weights(model.trainable_variables)  # noqa: SLF001  # Keras 2 has no public way
    with np.load(folder / STATE) as saved:
        model.set_weights(_listed(saved, MODEL))
        model.optimizer.set_weights(_listed(saved, OPTIMIZER))
        stopping.best = _listed(saved, BEST)
        stopping.epoch, stopping.waited = int(saved["epoch"]), int(saved["waited"])
        stopping.best_recall = float(saved["best_recall"])


def _named(kind: str, arrays: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{kind}.{number:04d}": array for number, array in enumerate(arrays)}


def _listed(saved: Any, kind: str) -> list[NDArray[Any]]:
    return [saved[name] for name in sorted(saved.files) if name.startswith(f"{kind}.")]
