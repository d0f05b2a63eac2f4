"""The hold-out's verdict: models and baselines on what learners met after everything that was trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.releases import CALIBRATION_ERROR, FULL, ITEM_KNN, POPULAR, RETRIEVAL, SCORE_TO_MET
from app.features.dataset import Dataset
from app.features.histories import Histories
from app.features.item_state import Items
from app.features.learners import EventArrays, learner_features, windows_at
from app.models.baselines import item_knn_scores, popular_scores, top_lists
from app.models.evaluation import calibration_error, hits, list_metrics
from app.models.lists import Embeds, ranked_lists
from app.models.ranker import Ranker
from app.models.timeline import Timeline

MAX_LEARNERS = 5_000
DEPTH = 100
SHOWN = 10
"""Of a list: what a learner sees unless more is asked for, and whose scores are held against what happened."""

Verdict = Mapping[str, Mapping[str, float]]
"""Model name -> metric -> mean over learners."""


@dataclass(frozen=True, slots=True)
class HoldOut:
    """Learners who met something new after `timeline.holdout_from`, as they stood just before."""

    before: EventArrays  # first meetings before the hold-out
    learners: Learners  # [B]
    histories: Histories  # [B]
    relevant: list[NDArray[np.int32]]  # [B] contents met in the hold-out for the first time


def hold_out(dataset: Dataset, timeline: Timeline, *, seed: int = 0) -> HoldOut:
    """At most MAX_LEARNERS, drawn at random, among those with a history before the hold-out."""
    pairs = dataset.pairs
    before, after = pairs.take(pairs.ts < timeline.holdout_from), pairs.take(pairs.ts >= timeline.holdout_from)
    user = np.intersect1d(before.user, after.user)
    if len(user) > MAX_LEARNERS:
        user = np.sort(np.random.default_rng(seed).choice(user, MAX_LEARNERS, replace=False))
    now = after.ts[np.searchsorted(after.user, user, side="left")]
    events = dataset.events
    past = events.take(events.ts < timeline.holdout_from)
    learners = learner_features(
        windows_at(past, user, now), user_index=user, cohort_index=dataset.vocabulary.cohort_of_user[user]
    )
    return HoldOut(before, learners, Histories.of(before, user), Histories.of(after, user).lists())


def judge(held: HoldOut, *, towers: Embeds, items: Items, ranker: Ranker) -> dict[str, dict[str, float]]:
    """Metrics of the whole system, of retrieval alone and of two baselines; `items` as of the hold-out's start."""
    lists = list(ranked_lists(held.learners, held.histories, towers=towers, items=items, ranker=ranker, depth=DEPTH))
    now, num_items = int(held.before.ts.max(initial=0)) + 1, len(items)
    popular = popular_scores(held.before, now=now, num_items=num_items)
    knn = item_knn_scores(held.before, held.histories, num_items=num_items)
    everybody = np.arange(len(held.histories))
    ranked = {
        FULL: np.concatenate([part.index for part in lists]),
        RETRIEVAL: np.concatenate([part.retrieved for part in lists]),
        POPULAR: top_lists(popular, everybody, held.histories, num_items=num_items, limit=DEPTH),
        ITEM_KNN: top_lists(knn, everybody, held.histories, num_items=num_items, limit=DEPTH),
    }
    verdict = {
        name: {metric: float(values.mean()) for metric, values in list_metrics(index, held.relevant).items()}
        for name, index in ranked.items()
    }
    verdict[FULL] |= calibration(ranked[FULL], np.concatenate([part.score for part in lists]), held.relevant)
    return verdict


def calibration(
    index: NDArray[np.int32], score: NDArray[np.float32], relevant: Sequence[NDArray[np.int32]]
) -> dict[str, float]:
    """Scores of the first SHOWN of each list `[B, K]` against what was met; nothing where nothing was met."""
    met, used = hits(index, relevant)[:, :SHOWN], index[:, :SHOWN] >= 0
    scores, happened = score[:, :SHOWN][used], met[used]
    if not happened.any():
        return {}
    mean = float(scores.mean(dtype=np.float64))
    return {CALIBRATION_ERROR: calibration_error(scores, happened), SCORE_TO_MET: mean / float(happened.mean())}
