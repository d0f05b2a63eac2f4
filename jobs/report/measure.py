"""A model's lists as figures: one column of values a learner for everything that needs an interval."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from app.models.evaluation import DEPTHS, coverage, diversity, exposure, gini, hits, list_metrics, novelty
from app.models.resampling import Estimate, Resamples
from jobs.report.part import Part
from jobs.report.report import Difference, Model, Slice
from jobs.report.rivals import Rival
from jobs.report.slices import POPULARITY, Slices

METRICS = tuple(f"{name}@{k}" for name in ("ndcg", "recall", "hit", "mrr") for k in DEPTHS)
HEAD = "ndcg@10"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every model is measured against."""

    part: Part
    slices: Slices
    tags: sp.csr_matrix | None  # [I, T] ones
    seed: int

    def resamples(self, columns: dict[str, NDArray[np.float64]]) -> Resamples:
        return Resamples(columns, seed=self.seed)


@dataclass(frozen=True, slots=True)
class Measured:
    """A model and its resamples, which differences and slices are made from."""

    model: Model
    ndcg: NDArray[np.float64]  # [B] at 10
    resamples: Resamples


def measure(rival: Rival, bench: Bench) -> Measured:
    """All figures of one model's lists."""
    part, index = bench.part, rival.index
    metrics = list_metrics(index, part.relevant)
    found = hits(index, part.relevant)
    fresh = novelty(index, part.past.popularity, num_learners=part.past.num_learners)
    varied = None if bench.tags is None else diversity(index, bench.tags)
    columns = metrics | _slice_columns(metrics[HEAD], found, index, bench.slices) | _with_mask("novelty", fresh)
    if varied is not None:
        columns |= _with_mask("diversity", varied)
    resamples = bench.resamples(columns)
    shown = {k: exposure(index, num_items=part.past.num_items, depth=k) for k in DEPTHS}
    model = Model(
        name=rival.name,
        label=rival.label,
        setting=rival.setting,
        tried=rival.tried,
        metrics={name: resamples.mean(name) for name in METRICS},
        coverage={str(k): coverage(shown[k]) for k in DEPTHS},
        gini=gini(shown[10]),
        novelty=resamples.ratio("novelty", "has novelty"),
        diversity=None if varied is None else resamples.ratio("diversity", "has diversity"),
        places=_places(shown[10], bench.slices),
        recall_curve=recall_curve(found, part),
    )
    return Measured(model, metrics[HEAD], resamples)


def difference(lists: Measured, baseline: Measured) -> Difference:
    """The lists less the baseline, on the same resamples."""
    return Difference(
        name=baseline.model.name,
        label=baseline.model.label,
        metrics={name: lists.resamples.above(baseline.resamples, name) for name in METRICS},
        higher=float((lists.ndcg > baseline.ndcg).mean()),
        lower=float((lists.ndcg < baseline.ndcg).mean()),
    )


def history_slices(measured: list[Measured], slices: Slices) -> tuple[Slice, ...]:
    """NDCG@10 of the learners of each slice."""
    return tuple(
        Slice(
            label=label,
            count=int((slices.history == number).sum()),
            models={
                m.model.name: {HEAD: m.resamples.ratio(f"history {number}", f"in history {number}")} for m in measured
            },
        )
        for number, label in enumerate(slices.history_labels)
    )


def popularity_slices(measured: list[Measured], slices: Slices) -> tuple[Slice, ...]:
    """Share of the test pairs of each slice that the lists hold, of slices that have any."""
    return tuple(
        Slice(
            label=slices.popularity_labels[number],
            count=int(slices.pairs[:, number].sum()),
            models={
                m.model.name: {
                    f"recall@{k}": m.resamples.ratio(f"popularity {number}@{k}", f"in popularity {number}")
                    for k in (10, 100)
                }
                for m in measured
            },
        )
        for number in range(len(POPULARITY))
        if slices.pairs[:, number].any()
    )


def recall_curve(found: NDArray[np.bool_], part: Part) -> tuple[float, ...]:
    """Mean recall at 1, 2, … of lists whose hits are `found` `[B, n]`."""
    size = np.diff(part.wanted.offset)
    return tuple(float(value) for value in (np.cumsum(found, axis=1) / size[:, None]).mean(0))


def _slice_columns(
    ndcg: NDArray[np.float64], found: NDArray[np.bool_], index: NDArray[np.int32], slices: Slices
) -> dict[str, NDArray[np.float64]]:
    columns: dict[str, NDArray[np.float64]] = {}
    for number in range(len(slices.history_labels)):
        inside = (slices.history == number).astype(np.float64)
        columns |= {f"history {number}": ndcg * inside, f"in history {number}": inside}
    group = np.where(index >= 0, slices.popularity[index], -1)
    for number in range(len(POPULARITY)):
        inside = found & (group == number)
        columns[f"in popularity {number}"] = slices.pairs[:, number].astype(np.float64)
        for k in (10, 100):
            columns[f"popularity {number}@{k}"] = inside[:, :k].sum(1).astype(np.float64)
    return columns


def _with_mask(name: str, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    there = ~np.isnan(values)
    return {name: np.where(there, values, 0), f"has {name}": there.astype(np.float64)}


def _places(shown: NDArray[np.int64], slices: Slices) -> dict[str, float]:
    share = np.bincount(slices.popularity, weights=shown, minlength=len(POPULARITY)) / max(shown.sum(), 1)
    return dict(zip(POPULARITY, share.tolist(), strict=True))


def ceiling(found: NDArray[np.bool_], part: Part, bench: Bench) -> Estimate:
    """NDCG@10 of lists whose hits are `found` `[B, n]`, were they all moved to the front."""
    size = np.diff(part.wanted.offset)
    gains = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(2, 12)))]
    best = gains[np.minimum(found.sum(1), 10)] / gains[np.minimum(size, 10)]
    return bench.resamples({"best": best}).mean("best")
