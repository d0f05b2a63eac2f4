"""Training of the towers: a plain function of examples, and what comes out of it."""

# TensorFlow's annotations are partial: calls of layers, operators of tensors and attributes of modules are unknown.
# pyright: reportCallIssue=false, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false, reportOptionalMemberAccess=false
# pyright: reportReturnType=false

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.examples import Examples, take_learners
from app.models.configs import TowersConfig
from app.models.nearest import row_blocks
from app.models.stopping import Stopping
from app.models.two_tower import TwoTower
from app.models.user_tower import TOWER_FOLDER, USER_INPUTS, user_inputs

EMBED_BATCH = 4096
VALIDATION_DEPTH = 100
OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True, slots=True)
class Towers:
    """Trained towers and the item embeddings `[I, dim]` as of the last training example."""

    model: TwoTower
    item_embeddings: NDArray[np.float32]

    def embed(self, learners: Learners) -> NDArray[np.float32]:
        """Unit vectors `[B, dim]`."""
        return embed_learners(self.model, learners)

    def save(self, folder: Path) -> None:
        """Write the user tower as a SavedModel and the item embeddings."""
        export_user_tower(self.model, folder / TOWER_FOLDER)
        np.save(folder / "item_embeddings.npy", self.item_embeddings, allow_pickle=False)


def build_model(
    catalogue: Catalogue, vocabulary: LearnerVocabulary, *, content: NDArray[np.int32], config: TowersConfig
) -> TwoTower:
    """An untrained, compiled model; `content` `[n]` are the training examples' contents, for logQ."""
    counts = np.bincount(content, minlength=len(catalogue)).astype(np.float32)
    model = TwoTower(
        catalogue.arrays,
        num_users=len(vocabulary),
        num_cohorts=len(vocabulary.cohorts),
        frequency=counts / max(counts.sum(), 1.0),
        config=config,
    )
    model.compile(optimizer=tf.keras.optimizers.legacy.Adam(config.learning_rate))
    return model


def fit_towers(
    train: Examples,
    valid: Examples,
    *,
    catalogue: Catalogue,
    vocabulary: LearnerVocabulary,
    config: TowersConfig,
    on_epoch: OnEpoch | None = None,
    model: TwoTower | None = None,
    stopping: Stopping | None = None,
) -> Towers:
    """Train until validation recall@100 no longer rises; the best epoch's weights are kept.

    `valid` may be empty: then all epochs run. `model` continues a training, with `stopping` from where it was.
    `on_epoch(epoch, metrics)` follows it, when `stopping` has taken note of the epoch.
    """
    tf.keras.utils.set_random_seed(config.seed)
    model = model or build_model(catalogue, vocabulary, content=train.content, config=config)
    known = np.bincount(train.content, minlength=len(catalogue)) > 0
    now = int(train.learners.now.max(initial=0))
    stopping = stopping or Stopping(config.patience)
    dataset = _batches(train, config)
    while not stopping.over(config.epochs_for(len(train))):
        losses = model.fit(dataset, epochs=1, verbose=0)
        metrics = {"loss": float(losses.history["loss"][-1])}
        if len(valid):
            items = embed_items(model, known=known, now=now)
            metrics["recall@100"] = validation_recall(embed_learners(model, valid.learners), items, valid)
        stopping.after(metrics.get("recall@100"), model.get_weights())
        if on_epoch:
            on_epoch(stopping.epoch - 1, metrics)
    if stopping.best:
        model.set_weights(stopping.best)
    return Towers(model, embed_items(model, known=known, now=now))


def continue_towers(
    model: TwoTower,
    train: Examples,
    *,
    catalogue: Catalogue,
    vocabulary: LearnerVocabulary,
    config: TowersConfig,
    on_epoch: OnEpoch | None = None,
) -> Towers:
    """One gentle epoch over `train`, so that the latest events count while the embedding space stays where it was."""
    gentle = config.model_copy(update={"num_epochs": 1, "learning_rate": config.learning_rate / 4})
    model.optimizer.learning_rate.assign(gentle.learning_rate)
    nothing = train.take(np.zeros(len(train), np.bool_))
    return fit_towers(
        train, nothing, catalogue=catalogue, vocabulary=vocabulary, config=gentle, on_epoch=on_epoch, model=model
    )


def _batches(train: Examples, config: TowersConfig) -> tf.data.Dataset:
    """Shuffled batches of rows, gathered in the graph: no per-example work in Python."""
    columns = {name: tf.constant(array) for name, array in user_inputs(train.learners).items()}
    columns |= {
        "content": tf.constant(train.content),
        "strength": tf.constant(train.strength),
        "now": tf.constant(train.learners.now),
    }
    size = len(train)
    rows = tf.data.Dataset.range(size).shuffle(size, seed=config.seed).batch(min(config.batch_size, size), True)
    return rows.map(lambda row: {k: tf.gather(v, row) for k, v in columns.items()}).prefetch(2)


def embed_learners(model: TwoTower, learners: Learners) -> NDArray[np.float32]:
    inputs = user_inputs(learners)
    parts = [
        model.user_tower({name: tf.constant(array[at : at + EMBED_BATCH]) for name, array in inputs.items()}).numpy()
        for at in range(0, len(learners), EMBED_BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)


def embed_items(model: TwoTower, *, known: NDArray[np.bool_], now: int) -> NDArray[np.float32]:
    """Unit vectors `[I, dim]` of the whole catalogue as of `now` (Unix seconds)."""
    parts = [
        model.item_tower(
            tf.range(at, min(at + EMBED_BATCH, len(known)), dtype=tf.int32),
            tf.fill([min(EMBED_BATCH, len(known) - at)], tf.constant(now, tf.int64)),
            known=tf.constant(known[at : at + EMBED_BATCH]),
        ).numpy()
        for at in range(0, len(known), EMBED_BATCH)
    ]
    return np.concatenate(parts)


def validation_recall(queries: NDArray[np.float32], items: NDArray[np.float32], valid: Examples) -> float:
    """Share of examples whose content is among the VALIDATION_DEPTH nearest, the learner's history left out."""
    hits = 0
    for rows in row_blocks(len(queries), len(items)):
        part = take_learners(valid.learners, rows)
        scores = queries[rows] @ items.T
        row, column = np.nonzero(part.history >= 0)
        scores[row, part.history[row, column]] = -np.inf
        content = valid.content[rows]
        own = scores[np.arange(len(content)), content]
        hits += int(((scores > own[:, None]).sum(1) < VALIDATION_DEPTH).sum())
    return hits / max(len(queries), 1)


def export_user_tower(model: TwoTower, folder: Path) -> None:
    """A SavedModel with one signature over USER_INPUTS, giving `embedding`; beside it, what embeds new contents."""
    signature = {name: tf.TensorSpec([None, *shape], kind, name=name) for name, (shape, kind) in USER_INPUTS.items()}

    @tf.function(input_signature=[signature])
    def serve(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"embedding": model.user_tower(inputs, training=False)}

    module = tf.Module()
    module.tower = model.user_tower
    module.serve = serve
    tf.saved_model.save(module, str(folder), signatures=serve)
    model.item_tower.weights_for_new().save(folder)
