"""Offline metrics of ranked lists: full catalogue, binary gains, one row a learner.

NDCG@k has an ideal of min(k, number of relevant contents) (Järvelin and Kekäläinen, 2002).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DEPTHS = (10, 20, 100)


def list_metrics(
    ranked: NDArray[np.int32], relevant: Sequence[NDArray[np.int32]], *, depths: Sequence[int] = DEPTHS
) -> dict[str, NDArray[np.float64]]:
    """`ranked` `[B, n]` catalogue indices (padding -1), `relevant` one array a learner; each metric `[B]`."""
    length = ranked.shape[1]
    hit: NDArray[np.bool_] = np.stack(
        [np.isin(row, truth) & (row >= 0) for row, truth in zip(ranked, relevant, strict=True)]
    )
    size: NDArray[np.int64] = np.array([len(truth) for truth in relevant], np.int64)
    gain = 1 / np.log2(np.arange(2, max(length, *depths) + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gain)])
    first: NDArray[np.int64] = np.where(hit.any(1), hit.argmax(1), length)
    result: dict[str, NDArray[np.float64]] = {}
    for k in depths:
        top = hit[:, :k]
        result[f"ndcg@{k}"] = (top * gain[: top.shape[1]]).sum(1) / ideal[np.minimum(k, size)]
        result[f"recall@{k}"] = top.sum(1) / size
        result[f"hit@{k}"] = np.asarray(top.any(1), np.float64)
        result[f"mrr@{k}"] = np.where(first < k, 1 / (first + 1.0), 0.0)
    return result


def bootstrap_interval(
    values: NDArray[np.float64], *, rng: np.random.Generator, draws: int = 1000
) -> tuple[float, float]:
    """95% percentile interval of the mean over learners (Efron, 1979)."""
    means = np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
