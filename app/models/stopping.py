"""Early stopping: the best epoch so far, how many followed it, and so whether another is worth it."""

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray


@dataclass(slots=True)
class Stopping:
    """What a training knows of its epochs; goes into a checkpoint as it is."""

    patience: int
    epoch: int = 0  # the next one
    best_recall: float = -1.0
    waited: int = 0  # epochs since the best
    best: list[NDArray[Any]] = field(default_factory=list)  # weights after the best epoch

    def after(self, recall: float | None, weights: list[NDArray[Any]]) -> None:
        """Take note of an epoch; without a `recall` the last one is the best."""
        self.epoch += 1
        if recall is not None and recall <= self.best_recall:
            self.waited += 1
        else:
            self.best, self.best_recall, self.waited = weights, recall or 0.0, 0

    def over(self, num_epochs: int) -> bool:
        """All are done, or none was better for a while."""
        return self.epoch >= num_epochs or self.waited >= self.patience
