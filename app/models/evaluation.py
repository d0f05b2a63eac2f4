"""Offline metrics of ranked lists: full catalogue, binary gains, one row a learner.

NDCG@k has an ideal of min(k, number of relevant contents) (Järvelin and Kekäläinen, 2002).
"""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

DEPTHS = (10, 20, 100)
CALIBRATION_BINS = 10


def list_metrics(
    ranked: NDArray[np.int32], relevant: Sequence[NDArray[np.int32]], *, depths: Sequence[int] = DEPTHS
) -> dict[str, NDArray[np.float64]]:
    """`ranked` `[B, n]` catalogue indices (padding -1), `relevant` one array a learner; each metric `[B]`."""
    length = ranked.shape[1]
    hit = hits(ranked, relevant)
    size = np.fromiter(map(len, relevant), np.int64, len(relevant))
    deepest = max(length, *depths)
    gain = 1 / np.log2(np.arange(2, deepest + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gain)])
    first: NDArray[np.int64] = np.where(hit.any(1), hit.argmax(1), deepest)
    result: dict[str, NDArray[np.float64]] = {}
    for k in depths:
        top = hit[:, :k]
        result[f"ndcg@{k}"] = (top * gain[: top.shape[1]]).sum(1) / ideal[np.minimum(k, size)]
        result[f"recall@{k}"] = top.sum(1) / size
        result[f"hit@{k}"] = np.asarray(top.any(1), np.float64)
        result[f"mrr@{k}"] = np.where(first < k, 1 / (first + 1.0), 0.0)
    return result


def hits(ranked: NDArray[np.int32], relevant: Sequence[NDArray[np.int32]]) -> NDArray[np.bool_]:
    """Where `ranked` `[B, n]` holds one of the learner's relevant contents; padding (-1) never does."""
    if len(ranked) != len(relevant):
        raise ValueError(f"{len(ranked)} lists for {len(relevant)} learners: give one list a learner, in one order")
    if not ranked.size:
        return np.zeros(ranked.shape, np.bool_)
    size = np.fromiter(map(len, relevant), np.int64, len(relevant))
    wanted = np.concatenate([np.empty(0, np.int64), *relevant]).astype(np.int64)
    stride = int(max(ranked.max(initial=0), wanted.max(initial=0))) + 1
    truth = np.unique(np.repeat(np.arange(len(size)), size)[wanted >= 0] * stride + wanted[wanted >= 0])
    if not len(truth):
        return np.zeros(ranked.shape, np.bool_)
    asked = np.arange(len(ranked))[:, None] * stride + ranked
    found = truth[np.minimum(np.searchsorted(truth, asked), len(truth) - 1)] == asked
    return found & (ranked >= 0)


def exposure(ranked: NDArray[np.int32], *, num_items: int, depth: int = 10) -> NDArray[np.int64]:
    """In how many of the first `depth` places each content stands. `[I]`."""
    top = ranked[:, :depth]
    return np.bincount(top[top >= 0], minlength=num_items)


def coverage(shown: NDArray[np.int64]) -> float:
    """Share of the catalogue that at least one learner is shown; `shown` is an `exposure`."""
    return float((shown > 0).mean()) if len(shown) else 0.0


def gini(shown: NDArray[np.int64]) -> float:
    """How unequally contents are shown: 0 all equally often, towards 1 a single one (Gini, 1912)."""
    total, n = shown.sum(), len(shown)
    if not total:
        return 0.0
    return float(2 * (np.arange(1, n + 1) * np.sort(shown)).sum() / (n * total) - (n + 1) / n)


def novelty(
    ranked: NDArray[np.int32], popularity: NDArray[np.int64], *, num_learners: int, depth: int = 10
) -> NDArray[np.float64]:
    """Mean self-information in bits, -log2 of the share of learners who met a content in training (Zhou et al., 2010).

    A content that nobody met counts as if one had; NaN for an empty list. `[B]`.
    """
    bits = np.log2(num_learners / np.maximum(popularity, 1))
    return _mean_of_row(bits, ranked[:, :depth])


def _mean_of_row(value: NDArray[np.float64], index: NDArray[np.int32]) -> NDArray[np.float64]:
    used = index >= 0
    total, size = np.where(used, value[index], 0).sum(1), used.sum(1)
    return np.where(size > 0, total / np.maximum(size, 1), np.nan)


def diversity(ranked: NDArray[np.int32], tags: sp.csr_matrix, *, depth: int = 10) -> NDArray[np.float64]:
    """Mean Jaccard distance of the tags of two contents in a list (Ziegler et al., 2005); `tags` `[I, T]` of ones.

    Pairs of which one has no tag do not count; NaN for a list without any pair. `[B]`.
    """
    size = np.append(np.diff(tags.indptr), 0)  # the last row is the padding's
    tags = sp.csr_matrix((tags.data, tags.indices, np.append(tags.indptr, tags.indptr[-1])))
    top = ranked[:, :depth]
    columns = [(sp.csr_matrix(tags[top[:, place]]), size[top[:, place]]) for place in range(top.shape[1])]
    total, pairs = np.zeros(len(top)), np.zeros(len(top))
    for place, (one, one_size) in enumerate(columns):
        for other, other_size in columns[place + 1 :]:
            common = np.asarray(one.multiply(other).sum(1)).ravel()
            counted = (one_size > 0) & (other_size > 0)
            total += np.where(counted, 1 - common / np.maximum(one_size + other_size - common, 1), 0)
            pairs += counted
    return np.where(pairs > 0, total / np.maximum(pairs, 1), np.nan)


def calibration_error(
    score: NDArray[np.float32], happened: NDArray[np.bool_], *, num_bins: int = CALIBRATION_BINS
) -> float:
    """Mean distance of a score from how often it came true, over bins of equally many (Nguyen and O'Connor, 2015).

    `score` and `happened` `[n]`, n > 0. 0 is perfect; few rows in a bin keep even perfect scores above it.
    """
    order = np.argsort(score, kind="stable")
    bins = [part for part in np.array_split(order, num_bins) if len(part)]
    distance = [abs(float(score[part].mean(dtype=np.float64)) - float(happened[part].mean())) for part in bins]
    return float(np.average(distance, weights=[len(part) for part in bins]))


def bootstrap_interval(
    values: NDArray[np.float64], *, rng: np.random.Generator, draws: int = 1000
) -> tuple[float, float]:
    """95% percentile interval of the mean over learners (Efron, 1979)."""
    means = np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
