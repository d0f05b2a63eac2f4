"""Early stopping keeps the best epoch and ends when nothing got better for a while."""

import numpy as np

from app.models.stopping import Stopping


def run(recalls: list[float | None], *, patience: int = 2, num_epochs: int = 10) -> Stopping:
    stopping = Stopping(patience)
    for epoch, recall in enumerate(recalls):
        if stopping.over(num_epochs):
            break
        stopping.after(recall, [np.array(epoch)])
    return stopping


def test_the_best_epoch_is_kept_and_two_worse_ones_end_it() -> None:
    stopping = run([0.1, 0.3, 0.2, 0.3, 0.9])
    assert (int(stopping.best[0]), stopping.best_recall, stopping.epoch) == (1, 0.3, 4)


def test_without_validation_the_last_epoch_is_kept_and_all_run() -> None:
    stopping = run([None] * 20, num_epochs=7)
    assert (int(stopping.best[0]), stopping.epoch, stopping.over(7)) == (6, 7, True)


def test_a_training_that_was_over_is_over_when_it_is_taken_up_again() -> None:
    assert Stopping(2, epoch=4, best_recall=0.3, waited=2).over(10)
    assert not Stopping(2, epoch=4, best_recall=0.3, waited=1).over(10)
