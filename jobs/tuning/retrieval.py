"""Trials of the two towers: trained on what is early, judged by recall on what came next."""

import gc
from dataclasses import dataclass
from typing import Any

from app.errors import Conflict
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.models.configs import TowersConfig
from jobs.ray_session import Shared
from jobs.snapshots import Snapshot
from jobs.towers_loop import Parts, use_threads
from jobs.tuning.reporter import Reporter


@dataclass(frozen=True, slots=True)
class RetrievalData:
    """What every trial trains on."""

    parts: Parts
    catalogue: Catalogue
    vocabulary: LearnerVocabulary


def retrieval_data(snapshot: Snapshot, *, holdout_share: float, seed: int) -> RetrievalData:
    """Raises Conflict: the examples are too few to hold any out."""
    parts = Parts.of(snapshot.examples(), holdout_share=holdout_share, seed=seed)
    if not len(parts.early) or not len(parts.valid):
        raise Conflict(
            f"{len(parts.early)} examples to train on and {len(parts.valid)} to judge by are too few for a sweep"
        )
    return RetrievalData(parts, snapshot.catalogue(), snapshot.vocabulary())


@dataclass(frozen=True, slots=True)
class RetrievalTrial:
    """One training of the towers. Its actor may have run another trial before."""

    data: Shared[RetrievalData]
    fixed: dict[str, Any]
    num_threads: int
    metric: str

    def __call__(self, chosen: dict[str, Any]) -> None:
        import tensorflow as tf

        use_threads(self.num_threads)
        tf.keras.backend.clear_session()
        gc.collect()
        from app.models.train_towers import fit_towers

        data, reporter = self.data.get(), Reporter(self.metric)
        fit_towers(
            data.parts.early,
            data.parts.valid,
            catalogue=data.catalogue,
            vocabulary=data.vocabulary,
            config=TowersConfig.model_validate({**self.fixed, **chosen}),
            on_epoch=lambda _, metrics: reporter.report(metrics),
        )
        reporter.end()
