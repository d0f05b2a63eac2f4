"""Baselines that a model has to beat, on the same split and with the same exclusions."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from app.features.items import popularity
from app.features.learners import EventArrays
from app.models.histories import Histories


def popular_scores(pairs: EventArrays, *, now: int, num_items: int, num_learners: int) -> NDArray[np.float32]:
    """Every learner gets the contents that most learners met. `[B, I]`."""
    return np.tile(popularity(pairs, now=now, num_items=num_items).total, (num_learners, 1))


def item_knn_scores(pairs: EventArrays, histories: Histories, *, num_items: int) -> NDArray[np.float32]:
    """Sum of cosines between a content and all of the learner's (Sarwar et al., 2001). `[B, I]`."""
    shape = (int(pairs.user.max(initial=0)) + 1, num_items)
    matrix = sp.csr_matrix((np.ones(len(pairs), np.float32), (pairs.user, pairs.content)), shape)
    norm = np.sqrt(np.asarray(matrix.sum(0)).ravel())
    unit = matrix @ sp.diags(1 / np.maximum(norm, 1e-9))
    cosine = sp.csr_matrix(unit.T @ unit)
    cosine.setdiag(0)
    return sp.csr_matrix(histories.matrix(num_items) @ cosine).toarray().astype(np.float32)


def top(scores: NDArray[np.float32], histories: Histories, *, limit: int) -> NDArray[np.int32]:
    """The `limit` best contents of each learner outside their history. `[B, limit]`."""
    scores = scores.copy()
    row, content = histories.cells()
    scores[row, content] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :limit].astype(np.int32)
    return np.where(np.isfinite(np.take_along_axis(scores, order, 1)), order, -1)
