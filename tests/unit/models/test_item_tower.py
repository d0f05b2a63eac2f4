"""The item tower without TensorFlow says of new contents what the trained one would."""

from pathlib import Path

import numpy as np
import pytest

from app.errors import NotFound
from app.models.configs import TowersConfig
from app.models.fit import all_examples
from app.models.item_tower import ItemTower
from tests.serving.tiny import make_tiny

CONFIG = TowersConfig(embedding_dim=8, hidden_dim=16, id_dim=8, user_dim=8, num_epochs=1, batch_size=256)


def test_both_towers_give_an_unknown_id_the_same_vector(tmp_path: Path) -> None:
    from app.models.train_towers import embed_items, fit_towers

    dataset = make_tiny().dataset
    catalogue, examples = dataset.catalogue, all_examples(dataset)
    towers = fit_towers(
        examples, examples.take(np.arange(50)), catalogue=catalogue, vocabulary=dataset.vocabulary, config=CONFIG
    )
    now = int(catalogue.arrays.created_at.max()) + 86_400 * 10
    expected = embed_items(towers.model, known=np.zeros(len(catalogue), np.bool_), now=now)
    towers.model.item_tower.weights_for_new().save(tmp_path)
    made = ItemTower.load(tmp_path)
    assert int(made.num_contents) == len(catalogue)
    np.testing.assert_allclose(made.embed(catalogue.arrays, now=now), expected, atol=1e-5)


def test_towers_without_the_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"item_tower\.npz is missing: train"):
        ItemTower.load(tmp_path)
