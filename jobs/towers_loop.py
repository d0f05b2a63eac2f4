"""Training the towers by Ray Train: the trainer and what each of its workers does. TensorFlow stays on the cluster."""

import json
import os
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray.train

from app.adapters.object_store import ObjectStore
from app.features.dataset import Dataset
from app.features.examples import Examples
from app.models.configs import TowersConfig
from app.models.stopping import Stopping
from app.models.timeline import Timeline
from jobs.messages import Messages
from jobs.snapshots import Snapshot
from jobs.towers_checkpoint import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

EARLY, FINAL, TIMELINE, METRICS = "early", "final", "timeline.json", "metrics.json"


@dataclass(frozen=True, slots=True)
class TowersTask:
    """What to train on and where to leave it; travels to the workers."""

    snapshot: Snapshot
    store_uri: str
    folder: str
    attempts: str  # where Ray Train keeps checkpoints while it trains
    config: TowersConfig
    holdout_share: float
    num_workers: int
    max_failures: int

    def store(self) -> ObjectStore:
        return ObjectStore(self.store_uri)


@dataclass(frozen=True, slots=True)
class Parts:
    """The examples by time; what is early is a view of what is known."""

    early: Examples  # before the ranker's time
    valid: Examples  # a sample of the ranker's time: stops the early towers
    known: Examples  # before the hold-out
    timeline: Timeline

    @classmethod
    def of(cls, examples: Examples, *, holdout_share: float, seed: int) -> "Parts":
        from app.models.fit import validation_sample

        timeline = Timeline.of(examples.learners.now, holdout_share=holdout_share)
        examples = examples.take(np.argsort(examples.learners.now, kind="stable"))
        bounds = (timeline.ranker_from, timeline.holdout_from)
        ranker_at, holdout_at = np.searchsorted(examples.learners.now, bounds).tolist()
        return cls(
            early=examples.take(slice(ranker_at)),
            valid=validation_sample(examples.take(slice(ranker_at, holdout_at)), seed=seed),
            known=examples.take(slice(holdout_at)),
            timeline=timeline,
        )


def train_towers(task: TowersTask, messages: Messages) -> None:
    """Run the trainer and wait for it: a task of the cluster."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig

    store = task.store()
    storage, _, name = task.attempts.rpartition("/")
    _trainer(task.num_workers)(
        train_loop,
        train_loop_config={"task": task, "messages": messages},
        scaling_config=ScalingConfig(num_workers=task.num_workers),
        run_config=RunConfig(
            name=name,
            storage_path=store.path(storage),
            storage_filesystem=store.filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=task.max_failures),
        ),
    ).fit()


def _trainer(num_workers: int) -> type["DataParallelTrainer"]:
    """Several workers need TensorFlow's cluster; one is spared its import here and in the controller, 12 s each."""
    if num_workers > 1:
        from ray.train.tensorflow import TensorflowTrainer

        return TensorflowTrainer
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    return DataParallelTrainer


def train_loop(config: dict[str, Any]) -> None:
    """Early towers, then final ones, on every worker; the first writes them and their metrics. Reports every epoch."""
    import tensorflow as tf

    task: TowersTask = config["task"]
    use_threads(max(1, (os.cpu_count() or 1) // task.num_workers))
    strategy = tf.distribute.MultiWorkerMirroredStrategy() if task.num_workers > 1 else None
    from app.models.train_towers import build_model, continue_towers, fit_towers

    snapshot, first = task.snapshot, ray.train.get_context().get_world_rank() == 0
    dataset = Dataset(snapshot.catalogue(), snapshot.vocabulary(), snapshot.events())
    parts = Parts.of(snapshot.examples(), holdout_share=task.holdout_share, seed=task.config.seed)
    indices = {"catalogue": dataset.catalogue, "vocabulary": dataset.vocabulary}
    with strategy.scope() if strategy else nullcontext():
        model = build_model(**indices, content=parts.early.content, config=task.config)
    stopping = Stopping(task.config.patience)
    if checkpoint := ray.train.get_checkpoint():
        with checkpoint.as_directory() as folder:
            load_checkpoint(Path(folder), model, stopping, few=parts.early)

    def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
        if first:
            config["messages"].say({"epoch": epoch, "most": task.config.epochs_for(len(parts.early)), **metrics})
        with tempfile.TemporaryDirectory() as folder:
            if first:
                save_checkpoint(Path(folder), model, stopping)
            checkpoint = ray.train.Checkpoint.from_directory(folder) if first else None
            ray.train.report({"epoch": epoch, **metrics}, checkpoint=checkpoint)

    early = fit_towers(
        parts.early, parts.valid, **indices, config=task.config, on_epoch=on_epoch, model=model, stopping=stopping
    )
    with tempfile.TemporaryDirectory() as work:
        early.save(Path(work) / EARLY)  # all workers: a distributed model is saved together
        recall = _validation_recall(early, parts.valid)
        final = continue_towers(model, parts.known, **indices, config=task.config)
        final.save(Path(work) / FINAL)
        parts.timeline.save(Path(work) / TIMELINE)
        if first:
            metrics = {"validation_recall@100": recall, **_verdict(final, dataset, parts.timeline)}
            (Path(work) / METRICS).write_text(json.dumps({**metrics, "num_examples": float(len(parts.known))}))
            task.store().upload(Path(work), task.folder)


def use_threads(number: int) -> None:
    """Within an operator and among operators: many have no threads within. Before TensorFlow computes anything."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(number)
    tf.config.threading.set_inter_op_parallelism_threads(number)


def _validation_recall(towers: Any, valid: Examples) -> float:
    from app.models.train_towers import validation_recall

    return validation_recall(towers.embed(valid.learners), towers.item_embeddings, valid)


def _verdict(towers: Any, dataset: Dataset, timeline: Timeline) -> dict[str, float]:
    """The towers alone, on the hold-out: the whole catalogue by dot product."""
    from app.models.baselines import top_lists
    from app.models.evaluation import list_metrics
    from app.models.judge import DEPTH, hold_out

    held = hold_out(dataset, timeline)
    learners, items = towers.embed(held.learners), towers.item_embeddings
    everybody = np.arange(len(learners))
    ranked = top_lists(
        lambda rows: learners[rows] @ items.T, everybody, held.histories, num_items=len(items), limit=DEPTH
    )
    values = list_metrics(ranked, held.relevant)
    return {name: float(values[name].mean()) for name in ("ndcg@10", "recall@10", "recall@100")}
