"""The part of `train_ranking` that runs on the cluster: training set, fit and verdict, from what is stored."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.adapters.object_store import ObjectStore
from app.features.dataset import Dataset
from app.features.examples import Examples
from app.features.item_state import Items, items_at
from app.models.configs import RankerConfig
from app.models.judge import hold_out, judge
from app.models.ranker import Ranker
from app.models.timeline import Timeline
from app.models.train_ranker import FittedRanker, RankingSet, fit_ranker, learn_weights, ranking_set
from app.models.user_tower import TOWER_FOLDER, UserTower
from jobs.artefacts import IMPORTANCE, VERDICT, WEIGHTS
from jobs.boosters import BoosterPlan, fit_of
from jobs.messages import Messages
from jobs.towers_loop import EARLY, FINAL, TIMELINE
from jobs.train_ranking import RankerTask


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the ranker is made from."""

    dataset: Dataset
    timeline: Timeline
    early: UserTower
    early_items: np.ndarray
    final: UserTower
    final_items: np.ndarray


def train_ranker(task: RankerTask, messages: Messages) -> dict[str, float]:
    """Write the ranker, its importance and the verdict; the metrics of its training."""
    messages.say({"step": 0})
    inputs = read_inputs(task)
    messages.say({"step": 1})
    late = Late.of(inputs, task.snapshot.examples(), seed=task.config.seed)
    data = late.ranking_set(task.config)
    messages.say({"step": 2})
    plan = BoosterPlan(task.config, task.num_workers, f"{task.store_uri}/{task.attempts}")
    fitted = fit_ranker(
        data,
        config=task.config,
        train=fit_of(task.backend, plan),
        num_threads=task.num_threads,
    )
    messages.say({"step": 3})
    verdict = _verdict(inputs, fitted.ranker, late.items.weights)
    with tempfile.TemporaryDirectory() as work:
        _write(Path(work), fitted, verdict)
        np.save(Path(work) / WEIGHTS, late.items.weights, allow_pickle=False)
        ObjectStore(task.store_uri).upload(Path(work), task.folder)
    return fitted.metrics


def read_inputs(task: RankerTask) -> Inputs:
    """Raises NotFound: the towers' folder is not whole."""
    snapshot, store = task.snapshot, ObjectStore(task.store_uri)
    with tempfile.TemporaryDirectory() as work:
        store.download(task.towers, Path(work))
        early, final = Path(work) / EARLY, Path(work) / FINAL
        return Inputs(
            dataset=Dataset(snapshot.catalogue(), snapshot.vocabulary(), snapshot.events()),
            timeline=Timeline.load(Path(work) / TIMELINE),
            early=UserTower(early / TOWER_FOLDER, num_threads=task.num_threads),
            early_items=np.load(early / "item_embeddings.npy"),
            final=UserTower(final / TOWER_FOLDER, num_threads=task.num_threads),
            final_items=np.load(final / "item_embeddings.npy"),
        )


@dataclass(frozen=True, slots=True)
class Late:
    """The ranker's time: examples, what towers that had not seen it make of them, and the items as they stood."""

    examples: Examples
    embeddings: NDArray[np.float32]  # [n, dim] of the examples' learners
    items: Items

    @classmethod
    def of(cls, inputs: Inputs, examples: Examples, *, seed: int) -> "Late":
        """From all examples, which are not held on to."""
        timeline, dataset, now = inputs.timeline, inputs.dataset, examples.learners.now
        examples = examples.take((now >= timeline.ranker_from) & (now < timeline.holdout_from))
        items = items_at(
            dataset.pairs,
            inputs.early_items,
            catalogue=dataset.catalogue,
            vocabulary=dataset.vocabulary,
            now=timeline.ranker_from,
        )
        embeddings = inputs.early.embed(examples.learners)
        weights = learn_weights(examples, embeddings, items=items, seed=seed)
        return cls(examples, embeddings, items.weighing(weights))

    def ranking_set(self, config: RankerConfig) -> RankingSet:
        """Lists as retrieval would have answered."""
        return ranking_set(self.examples, self.embeddings, items=self.items, config=config)

    def take(self, rows: NDArray[np.bool_]) -> "Late":
        return Late(self.examples.take(rows), self.embeddings[rows], self.items)


def _verdict(inputs: Inputs, ranker: Ranker, weights: NDArray[np.float32]) -> dict[str, dict[str, float]]:
    dataset, timeline = inputs.dataset, inputs.timeline
    items = items_at(
        dataset.pairs,
        inputs.final_items,
        catalogue=dataset.catalogue,
        vocabulary=dataset.vocabulary,
        now=timeline.holdout_from,
        weights=weights,
    )
    return judge(hold_out(dataset, timeline), towers=inputs.final, items=items, ranker=ranker)


def _write(folder: Path, fitted: FittedRanker, verdict: dict[str, dict[str, float]]) -> None:
    fitted.ranker.save(folder / "ranker")
    (folder / VERDICT).write_text(json.dumps(verdict, indent=1))
    (folder / IMPORTANCE).write_text(json.dumps(fitted.importance, indent=1))
