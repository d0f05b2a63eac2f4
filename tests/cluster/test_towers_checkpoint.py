"""A checkpoint brings a training of the towers back to where it was: weights, optimizer and early stopping."""

from pathlib import Path

import numpy as np

from app.features.examples import Examples
from app.models.configs import TowersConfig
from app.models.fit import all_examples
from app.models.stopping import Stopping
from jobs.towers_checkpoint import load_checkpoint, save_checkpoint
from tests.serving.tiny import make_tiny

CONFIG = TowersConfig(embedding_dim=8, hidden_dim=16, id_dim=8, user_dim=8, num_epochs=3, batch_size=256, patience=3)


def test_a_fresh_model_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    from app.models.train_towers import build_model, fit_towers

    dataset = make_tiny().dataset
    examples = all_examples(dataset)
    indices = {"catalogue": dataset.catalogue, "vocabulary": dataset.vocabulary}
    stopping = Stopping(CONFIG.patience)
    trained = fit_towers(examples, _some(examples), **indices, config=CONFIG, stopping=stopping).model
    save_checkpoint(tmp_path, trained, stopping)

    fresh, resumed = build_model(**indices, content=examples.content, config=CONFIG), Stopping(CONFIG.patience)
    load_checkpoint(tmp_path, fresh, resumed, few=examples)

    assert fresh.optimizer
    assert trained.optimizer
    for mine, theirs in ((fresh, trained), (fresh.optimizer, trained.optimizer)):
        for left, right in zip(mine.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(left, right)
    assert (resumed.epoch, resumed.waited, resumed.best_recall) == (3, stopping.waited, stopping.best_recall)
    again = fit_towers(examples, _some(examples), **indices, config=CONFIG, model=fresh, stopping=resumed)
    for left, right in zip(again.model.get_weights(), stopping.best, strict=True):
        np.testing.assert_array_equal(left, right)  # nothing was left to train: the best epoch comes out


def _some(examples: Examples) -> Examples:
    return examples.take(np.arange(200))
