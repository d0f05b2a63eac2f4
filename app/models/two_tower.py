"""The two-tower retrieval model: a user tower over recent contents, an item tower over ids and content features.

Method: Yi et al., Sampling-bias-corrected neural modeling, RecSys 2019 (logQ); Yang et al., Mixed negative sampling
for learning two-tower neural networks, WWW 2020. Import this module only where TensorFlow is wanted.
"""

# TensorFlow's annotations are partial: calls of layers, operators of tensors and attributes of modules are unknown.
# pyright: reportCallIssue=false, reportOperatorIssue=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false, reportIncompatibleMethodOverride=false, reportOptionalMemberAccess=false
# pyright: reportReturnType=false

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from numpy.typing import NDArray

from app.domain.contents import CONTENT_TYPES
from app.features.catalogue import ContentArrays
from app.models import item_tower
from app.models.configs import TowersConfig
from app.models.user_tower import TOWER_HISTORY

DAY_S = item_tower.DAY_S
Tensors = dict[str, tf.Tensor]


class ContentEncoder(tf.keras.layers.Layer):
    """Ids of contents to vectors; row 0 of the table stands for none and for contents never trained on."""

    def __init__(self, num_items: int, dim: int) -> None:
        super().__init__()
        self.table = self.add_weight(name="table", shape=(num_items + 1, dim), initializer="uniform")

    def call(self, rows: tf.Tensor) -> tf.Tensor:
        """`rows` of any shape, catalogue index + 1."""
        return tf.gather(self.table, rows)

    def pooled(self, rows: tf.Tensor, weight: tf.Tensor, *, training: bool) -> tf.Tensor:
        """`[B, dim]`: the vectors of `rows` `[B, H]` added by `weight` `[B, H]`.

        In training a sparse product of the table, whose gradient makes no vector of a cell. To answer, the vectors
        themselves: a table that is gathered from elsewhere is copied whole wherever it is read as a matrix.
        """
        if not training:
            return tf.einsum("bh,bhd->bd", weight, tf.gather(self.table, rows))
        cell = tf.where(weight > 0)
        index = tf.stack([cell[:, 0], tf.cast(tf.gather_nd(rows, cell), tf.int64)], axis=1)
        shape = tf.cast([tf.shape(rows)[0], tf.shape(self.table)[0]], tf.int64)
        return tf.sparse.sparse_dense_matmul(tf.SparseTensor(index, tf.gather_nd(weight, cell), shape), self.table)


class UserTower(tf.keras.Model):
    """Learner features to a unit vector `[B, embedding_dim]`."""

    def __init__(self, contents: ContentEncoder, *, num_users: int, num_cohorts: int, config: TowersConfig) -> None:
        super().__init__()
        self._contents = contents
        self._users = tf.keras.layers.Embedding(num_users + 1, config.user_dim)
        self._cohorts = tf.keras.layers.Embedding(num_cohorts + 1, 8)
        self._place = self.add_weight(name="place", shape=(TOWER_HISTORY,), initializer="zeros")
        self._decay = self.add_weight(name="decay", shape=(2,), initializer="zeros")
        self._hidden = tf.keras.layers.Dense(config.hidden_dim, activation="relu")
        self._out = tf.keras.layers.Dense(config.embedding_dim)
        self._dropout = tf.keras.layers.Dropout(config.dropout)
        self._user_id_dropout = config.user_id_dropout
        self._history_dropout = config.history_dropout

    def call(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        rows = inputs["history"] + 1  # [B, H]
        there = tf.cast(inputs["history"] >= 0, tf.float32)
        if training:  # a learner is known by any part of what they met: Liang et al., WWW 2018
            there *= tf.cast(tf.random.uniform(tf.shape(there)) >= self._history_dropout, tf.float32)
        age = tf.math.log1p(inputs["history_age_s"] / DAY_S)
        logits = self._place + self._decay[0] * age + self._decay[1] * inputs["history_strength"]
        weight = tf.nn.softmax(tf.where(there > 0, logits, -1e9), axis=1) * there
        pooled = self._contents.pooled(rows, weight, training=training)
        user = inputs["user_index"]
        if training:
            kept = tf.random.uniform(tf.shape(user)) >= self._user_id_dropout
            user = tf.where(kept, user, 0)
        scalars = tf.stack(
            [
                tf.math.log1p(inputs["session_position"]),
                inputs["completion_rate"],
                age[:, 0],
                tf.math.log1p(tf.reduce_sum(there, 1)),
            ],
            axis=1,
        )
        last = self._contents(rows[:, 0]) * there[:, :1]
        x = tf.concat([pooled, last, self._users(user), self._cohorts(inputs["cohort_index"]), scalars], axis=1)
        x = self._dropout(self._hidden(self._dropout(x, training=training)), training=training)
        return tf.math.l2_normalize(self._out(x), axis=1)


class ItemTower(tf.keras.Model):
    """Contents to unit vectors `[n, embedding_dim]`."""

    def __init__(self, contents: ContentEncoder, features: ContentArrays, *, config: TowersConfig) -> None:
        super().__init__()
        self._contents = contents
        self._tags = tf.constant(features.tags)
        self._types = tf.constant(features.content_type.astype(np.int32))
        self._difficulty = tf.constant(np.rint(features.difficulty).astype(np.int32))
        self._created_at = tf.constant(np.asarray(features.created_at))
        num_tags = int(features.tags.max(initial=-1)) + 1
        self._tag_table = tf.keras.layers.Embedding(num_tags + 1, 32)
        self._type_table = tf.keras.layers.Embedding(len(CONTENT_TYPES), 4)
        self._difficulty_table = tf.keras.layers.Embedding(6, 8)
        self._hidden = tf.keras.layers.Dense(config.hidden_dim, activation="relu")
        self._out = tf.keras.layers.Dense(config.embedding_dim)
        self._dropout = tf.keras.layers.Dropout(config.dropout)
        self._id_dropout = config.content_id_dropout

    def call(
        self, index: tf.Tensor, now: tf.Tensor, known: tf.Tensor | None = None, training: bool = False
    ) -> tf.Tensor:
        """`index` `[n]` into the catalogue, `now` `[n]` Unix seconds; `known` `[n]` bool: was its id trained on."""
        row = index + 1
        if training:
            known = tf.random.uniform(tf.shape(index)) >= self._id_dropout
        if known is not None:
            row = tf.where(known, row, 0)
        tags = tf.gather(self._tags, index)
        carried = tf.cast(tags >= 0, tf.float32)[:, :, None]
        tag_mean = tf.math.divide_no_nan(
            tf.reduce_sum(self._tag_table(tags + 1) * carried, 1), tf.reduce_sum(carried, 1)
        )
        age = tf.cast(tf.maximum(now - tf.gather(self._created_at, index), 0), tf.float32) / DAY_S
        x = tf.concat(
            [
                self._contents(row),
                tag_mean,
                self._type_table(tf.gather(self._types, index)),
                self._difficulty_table(tf.gather(self._difficulty, index)),
                tf.math.log1p(age)[:, None] / 4.0,
            ],
            axis=1,
        )
        x = self._dropout(self._hidden(self._dropout(x, training=training)), training=training)
        return tf.math.l2_normalize(self._out(x), axis=1)

    def weights_for_new(self) -> item_tower.ItemTower:
        """What embeds contents that this was not trained on."""
        table = self._contents.table.numpy()
        return item_tower.ItemTower(
            unknown=table[0],
            tags=self._tag_table.embeddings.numpy(),
            types=self._type_table.embeddings.numpy(),
            difficulties=self._difficulty_table.embeddings.numpy(),
            hidden_kernel=self._hidden.kernel.numpy(),
            hidden_bias=self._hidden.bias.numpy(),
            out_kernel=self._out.kernel.numpy(),
            out_bias=self._out.bias.numpy(),
            num_contents=np.array(len(table) - 1, np.int64),
        )


class TwoTower(tfrs.Model):
    """Both towers and the sampled softmax over in-batch and uniform negatives, logQ-corrected."""

    def __init__(
        self,
        features: ContentArrays,
        *,
        num_users: int,
        num_cohorts: int,
        frequency: NDArray[np.float32],
        config: TowersConfig,
    ) -> None:
        """`frequency` `[I]`: share of the training examples on each content."""
        super().__init__()
        contents = ContentEncoder(len(frequency), config.id_dim)
        self.user_tower = UserTower(contents, num_users=num_users, num_cohorts=num_cohorts, config=config)
        self.item_tower = ItemTower(contents, features, config=config)
        self._task = tfrs.tasks.Retrieval(temperature=config.temperature, remove_accidental_hits=True)
        self._frequency = tf.constant(frequency)
        self._num_uniform = min(config.num_uniform_negatives, len(frequency))

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        batch = tf.shape(inputs["content"])[0]
        num_items = tf.shape(self._frequency)[0]
        uniform = tf.random.uniform([self._num_uniform], 0, num_items, tf.int32)
        candidates = tf.concat([inputs["content"], uniform], 0)
        moments = tf.gather(inputs["now"], tf.random.uniform([self._num_uniform], 0, batch, tf.int32))
        queries = self.user_tower(inputs, training=training)
        vectors = self.item_tower(candidates, tf.concat([inputs["now"], moments], 0), training=training)
        share = tf.cast(batch, tf.float32) * tf.gather(self._frequency, candidates)
        share += tf.cast(self._num_uniform, tf.float32) / tf.cast(num_items, tf.float32)
        loss = self._task(
            queries,
            vectors,
            sample_weight=inputs["strength"],
            candidate_sampling_probability=share / tf.cast(batch + self._num_uniform, tf.float32),
            candidate_ids=candidates,
            compute_metrics=False,
            compute_batch_metrics=False,
            score_mask=self._no_positives(inputs, candidates, batch),
        )
        workers = tf.distribute.get_strategy().num_replicas_in_sync  # their gradients are added up, not averaged
        return loss / (tf.reduce_sum(inputs["strength"]) * workers)

    def _no_positives(self, inputs: Tensors, candidates: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        """`[B, B + n]`: false where the candidate is another positive of the learner: in the history or the batch."""
        met = self._in_history(inputs["history"], candidates, batch)
        same = (inputs["user_index"][:, None] == inputs["user_index"][None, :]) & (inputs["user_index"] > 0)[:, None]
        other = tf.pad(same & ~tf.eye(batch, dtype=tf.bool), [[0, 0], [0, tf.shape(candidates)[0] - batch]])
        own = tf.eye(batch, tf.shape(candidates)[0], dtype=tf.bool)
        return own | ~(met | other)

    def _in_history(self, history: tf.Tensor, candidates: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        """`[B, n]` bool, by one cell for each learner and distinct candidate: not all pairs of content and content."""
        distinct, column = tf.unique(candidates)
        width = tf.size(distinct)  # the column of padding and of what is no candidate
        columns = tf.fill([tf.shape(self._frequency)[0] + 1], width)
        columns = tf.tensor_scatter_nd_update(columns, distinct[:, None] + 1, tf.range(width))
        cell = tf.range(batch)[:, None] * (width + 1) + tf.gather(columns, history + 1)
        met = tf.math.unsorted_segment_max(tf.ones_like(cell), cell, batch * (width + 1))
        return tf.gather(tf.reshape(met, [batch, width + 1]), column, axis=1) > 0
