"""Make a report: read the part and the lists, run the baselines, measure all of them alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp

from app.models.resampling import DRAWS
from jobs.offline.items import read_items
from jobs.report.lists import read_lists
from jobs.report.measure import Bench, difference, history_slices, measure, popularity_slices
from jobs.report.part import Part, index_in, read_part
from jobs.report.report import LISTS, VERSION, Report, SplitFacts
from jobs.report.rivals import Rival, Skipped, chosen_names, num_steps, rivals
from jobs.report.slices import slices_of
from jobs.report.stages import reliability_of, source_shares, stage_of
from jobs.report.training import read_training

SEED = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is made of."""

    split: Path
    lists: Path
    items: Path | None = None
    baselines: tuple[str, ...] = ()  # none: all


def total_steps(asked: Asked) -> int:
    """How many steps `make_report` will take, at most. Raises InvalidInput: a name is no baseline."""
    return num_steps(chosen_names(asked.baselines)) + 3


def make_report(asked: Asked, on_step: Callable[[str], None]) -> Report:
    """`on_step` is told the name of each step as it starts.

    Raises InvalidInput: a file, a column or a name is wrong; nothing was computed yet then.
    """
    names = chosen_names(asked.baselines)
    on_step("reading")
    part = read_part(asked.split)
    lists = read_lists(asked.lists, part)
    training = read_training(asked.lists)
    tags, no_tags = _tags(asked.items, part)
    bench = Bench(part, slices_of(part), tags, SEED)
    on_step("measuring the lists")
    measured = [measure(Rival(LISTS, asked.lists.stem, {}, (), lists.index), bench)]
    skipped = {} if no_tags is None else {"Intra-list diversity": no_tags}
    for rival in rivals(part, names, on_step):
        if isinstance(rival, Skipped):
            skipped[rival.label] = rival.reason
        else:
            measured.append(measure(rival, bench))
    on_step("slices, sources and scores")
    stage = stage_of(lists, measured[0], bench)
    sources, reliability = source_shares(lists, bench), reliability_of(lists, bench)
    return Report(
        version=VERSION,
        file=asked.lists.name,
        split=_facts(asked.split, part),
        notes=part.notes + lists.notes,
        models=tuple(m.model for m in measured),
        differences=tuple(difference(measured[0], baseline) for baseline in measured[1:]),
        by_history=history_slices(measured, bench.slices),
        by_popularity=popularity_slices(measured, bench.slices),
        stage=stage,
        sources=sources,
        reliability=reliability,
        training=training,
        skipped=skipped | _absent(stage=stage, sources=sources, scores=reliability, training=training),
        seed=SEED,
        draws=DRAWS,
    )


def _facts(folder: Path, part: Part) -> SplitFacts:
    return SplitFacts(
        name=folder.resolve().name,
        num_train_events=part.num_events,
        num_train_pairs=len(part.past.pairs),
        num_learners=part.past.num_learners,
        num_contents=part.past.num_items,
        num_judged=len(part.judged),
        num_test_pairs=len(part.wanted.content),
        timed=part.past.timed,
    )


def _absent(*, stage: object, sources: object, scores: object, training: object) -> dict[str, str]:
    """What the lists cannot tell -> the column or file that would."""
    reasons = {
        "What the ranker adds": (stage, "the lists have no column candidate_rank"),
        "Sources": (sources, "the lists have no column source"),
        "Reliability of scores": (scores, "the lists have no column score"),
        "Training": (training, "there is no JSON file of the training beside the lists"),
    }
    return {name: reason for name, (found, reason) in reasons.items() if not found}


def _tags(path: Path | None, part: Part) -> tuple[sp.csr_matrix | None, str | None]:
    """Tags of the part's contents `[I, T]`, or the reason why there are none."""
    if path is None:
        return None, "no metadata of contents was given (--items)"
    table = pl.from_arrow(read_items(path, part.item_ids.to_list(), {}).select(["external_id", "tags"]))
    cells = pl.DataFrame(table).explode("tags").drop_nulls().unique(maintain_order=True)
    cells = cells.with_columns(row=index_in(cells["external_id"], part.item_ids)).filter(pl.col("row") >= 0)
    if not len(cells):
        return None, f"no content of the split has a tag in {path.name}"
    code = cells["tags"].rank("dense").to_numpy().astype(np.int64) - 1
    shape = (part.past.num_items, int(code.max()) + 1)
    return sp.csr_matrix((np.ones(len(cells), np.int32), (cells["row"].to_numpy(), code)), shape), None
