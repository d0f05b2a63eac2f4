"""Train on a split folder and write ranked lists for its learners."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.slates import SOURCES
from app.features.histories import Histories
from app.features.learners import learner_features, windows_at
from app.models.configs import RankerConfig, TowersConfig
from app.models.fit import all_examples, fit_system
from app.models.lists import RankedLists, ranked_lists
from app.models.timeline import Timeline
from app.models.train_towers import OnEpoch
from jobs.job import JobSpec
from jobs.offline.split import Split, read_split

DEPTH = 100


class Spec(JobSpec):
    """Hyperparameters of an offline evaluation."""

    towers: TowersConfig = TowersConfig()
    ranker: RankerConfig = RankerConfig()


@dataclass(frozen=True, slots=True)
class Progress:
    """Callbacks that tell how far it is."""

    on_step: Callable[[str], None] = lambda _: None
    on_epoch: OnEpoch | None = None


def evaluate(folder: Path, *, items: Path | None, out: Path, spec: Spec, progress: Progress) -> dict[str, float]:
    """Write `out` (Parquet: user_id, item_id, rank, candidate_rank, score, source; DEPTH deep).

    Beside it, with suffix .json, training metrics, which are returned too, and the importance of the ranker's features.
    """
    progress.on_step("reading")
    split = read_split(folder, items)
    examples = all_examples(split.dataset)
    timeline = Timeline.of(examples.learners.now, holdout_share=0.0)
    system = fit_system(
        split.dataset,
        examples,
        timeline,
        towers=spec.towers,
        ranker=spec.ranker,
        on_step=progress.on_step,
        on_epoch=progress.on_epoch,
    )
    progress.on_step("ranking")
    cohort = split.dataset.vocabulary.cohort_of_user[split.user_index]
    windows = windows_at(split.dataset.events, split.user_index, split.as_of)
    learners = learner_features(windows, user_index=split.user_index, cohort_index=cohort)
    histories = Histories.of(split.dataset.pairs, split.user_index)
    lists = ranked_lists(
        learners, histories, towers=system.towers, items=system.items, ranker=system.ranker, depth=DEPTH
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(out, _SCHEMA) as writer:
        start = 0
        for part in lists:
            writer.write_table(_rows(part, split, start))
            start += len(part.index)
    out.with_suffix(".json").write_text(
        json.dumps({"metrics": system.metrics, "importance": system.importance}, indent=1)
    )
    return system.metrics


_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("rank", pa.int32()),
        ("candidate_rank", pa.int32()),
        ("score", pa.float32()),
        ("source", pa.string()),
    ]
)


def _rows(part: RankedLists, split: Split, start: int) -> pa.Table:
    row, column = np.nonzero(part.index >= 0)
    items, users = np.array(split.item_ids), np.array(split.users[start : start + len(part.index)])
    columns = {
        "user_id": users[row],
        "item_id": items[part.index[row, column]],
        "rank": (column + 1).astype(np.int32),
        "candidate_rank": part.candidate_rank[row, column],
        "score": part.score[row, column],
        "source": np.array([str(s) for s in SOURCES])[part.source[row, column]],
    }
    return pa.table(columns, schema=_SCHEMA)
