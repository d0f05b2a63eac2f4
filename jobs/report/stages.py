"""Where the lists come from: the candidate stage, the sources, and what the scores are worth."""

import numpy as np
from numpy.typing import NDArray

from app.models.evaluation import hits, list_metrics
from jobs.report.lists import Lists
from jobs.report.measure import METRICS, Bench, Measured, ceiling, recall_curve
from jobs.report.report import Bin, Reliability, SourceShare, Stage

BIN_EDGES = (0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1)
"""Quantiles of the scores: finer towards the top, where the lists are shown."""


def stage_of(lists: Lists, measured: Measured, bench: Bench) -> Stage | None:
    """None: the lists do not say in which order the candidates came."""
    if lists.candidates is None:
        return None
    relevant = bench.part.relevant
    candidates = bench.resamples(list_metrics(lists.candidates, relevant))
    found = hits(lists.candidates, relevant)
    return Stage(
        candidates={name: candidates.mean(name) for name in METRICS},
        gain={name: measured.resamples.above(candidates, name) for name in METRICS},
        ceiling=ceiling(found, bench.part, bench),
        recall_curve=recall_curve(found, bench.part),
    )


def source_shares(lists: Lists, bench: Bench) -> tuple[SourceShare, ...]:
    """Most places in the first ten first; empty where the lists name no source."""
    if lists.source is None:
        return ()
    found = hits(lists.index, bench.part.relevant)
    columns: dict[str, NDArray[np.float64]] = {}
    for code in range(len(lists.sources)):
        own = lists.source == code
        for k in (10, 100):
            columns[f"places {code}@{k}"] = own[:, :k].sum(1).astype(np.float64)
            columns[f"hits {code}@{k}"] = (own & found)[:, :k].sum(1).astype(np.float64)
    resamples = bench.resamples(columns)
    places = {k: max(int((lists.index[:, :k] >= 0).sum()), 1) for k in (10, 100)}
    shares = [
        SourceShare(
            source=name,
            share_10=float(columns[f"places {code}@10"].sum() / places[10]),
            share_100=float(columns[f"places {code}@100"].sum() / places[100]),
            hit_rate_10=resamples.ratio(f"hits {code}@10", f"places {code}@10"),
            hit_rate_100=resamples.ratio(f"hits {code}@100", f"places {code}@100"),
            share_of_hits=float(columns[f"hits {code}@100"].sum() / max(found.sum(), 1)),
        )
        for code, name in enumerate(lists.sources)
    ]
    return tuple(sorted(shares, key=lambda share: -share.share_10))


def reliability_of(lists: Lists, bench: Bench) -> Reliability | None:
    """Scores in bins of equal-sized quantiles; None where the lists have no scores."""
    if lists.score is None or not np.isfinite(lists.score).any():
        return None
    found = hits(lists.index, bench.part.relevant)
    used = np.isfinite(lists.score)
    edges = np.unique(np.quantile(lists.score[used], BIN_EDGES))
    number = np.clip(np.searchsorted(edges, lists.score, side="right") - 1, 0, max(len(edges) - 2, 0))
    columns: dict[str, NDArray[np.float64]] = {}
    for b in range(max(len(edges) - 1, 1)):
        inside = used & (number == b)
        columns |= {f"in {b}": inside.sum(1), f"hits {b}": (inside & found).sum(1)}
    resamples = bench.resamples(columns)
    bins = tuple(
        Bin(
            score=float(lists.score[used & (number == b)].mean()),
            hit_rate=resamples.ratio(f"hits {b}", f"in {b}"),
            count=int(columns[f"in {b}"].sum()),
        )
        for b in range(max(len(edges) - 1, 1))
        if columns[f"in {b}"].any()
    )
    scores = lists.score[used]
    probability = bool(scores.min() >= 0 and scores.max() <= 1)
    total = sum(b.count for b in bins)
    error = sum(b.count * abs(b.score - b.hit_rate.mean) for b in bins) / total
    return Reliability(bins, probability, error if probability else None)
