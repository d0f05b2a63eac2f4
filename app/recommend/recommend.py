"""From learners to slates: the stages for one batch under one release, in order, each within its time.

Nothing here knows what a stage is made of. What fails becomes a Fault, and the answer steps down the ladder.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.domain.learners import Learners
from app.domain.slates import Candidates
from app.features.examples import take_learners
from app.models.release import Release
from app.models.retrieval import merge_candidates
from app.policy import ladder
from app.policy.order import Order, Shelf, filled, ordered
from app.ports.vector_index import Neighbours
from app.recommend.batch import Budget, Outcome, RequestBatch
from app.recommend.known import Known, know
from app.recommend.slates import slates
from app.recommend.stages import Fault, Retrieved, Stages, attempt
from app.recommend.tally import tally

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ranking:
    """What the models say of the personal learners `[P, …]`."""

    candidates: Candidates
    scores: NDArray[np.float32]  # [P, K]
    scored: NDArray[np.bool_]  # [P] by the ranker, not by retrieval
    proposed: NDArray[np.bool_]  # [P] there are candidates of their own
    faults: tuple[Fault, ...]


async def recommend(batch: RequestBatch, *, release: Release, stages: Stages, budget: Budget, now: datetime) -> Outcome:
    """One slate a request; never raises for what a stage does."""
    records, online = await asyncio.gather(
        _timed("postgres", stages.records(batch.user_ids, deadline_s=budget.allow("postgres")), budget),
        _timed("redis", stages.online(batch.user_ids, deadline_s=budget.allow("redis")), budget),
    )
    faults = [fault for fault in (records, online) if isinstance(fault, Fault)]
    began = budget.clock()
    known = know(
        batch.user_ids,
        records=None if isinstance(records, Fault) else records,
        online=None if isinstance(online, Fault) else online,
        release=release,
        now=now,
        opted_out=batch.opted_out,
    )
    budget.spent("features", began)
    ranking = await _ranking(batch, known, release=release, stages=stages, budget=budget)
    faults += ranking.faults if ranking else ()
    began = budget.clock()
    order, rungs = _order(batch, known, ranking, release=release)
    counted = tally(batch, order, rungs, ranking.candidates if ranking else None, online=online)
    made = slates(
        batch, order, rungs, release=release, labels=_labels(known.personal, [fault.stage for fault in faults])
    )
    budget.spent("compose", began)
    return Outcome(made, tuple(faults), budget.timings_ms, counted)


async def _timed(stage: str, call: Awaitable[T], budget: Budget) -> T | Fault:
    began = budget.clock()
    answer = await attempt(stage, call, timeout_s=budget.allow(stage))
    budget.spent(stage, began)
    return answer


async def _ranking(
    batch: RequestBatch, known: Known, *, release: Release, stages: Stages, budget: Budget
) -> _Ranking | None:
    """Embed, retrieve, merge, rank: for the personal learners only; None where there are none."""
    rows = np.flatnonzero(known.personal)
    if not len(rows):
        return None
    learners = take_learners(known.learners, rows)
    user_ids = [batch.user_ids[row] for row in rows]
    faults: list[Fault] = []
    embeddings = await _timed("embedder", stages.embed(user_ids, learners, deadline_s=budget.allow("embedder")), budget)
    if isinstance(embeddings, Fault):
        faults.append(embeddings)
        embeddings = known.cached[rows]
    embedded = np.asarray(np.isfinite(embeddings).all(axis=1))
    limit, exclude = budget.policy.num_candidates, known.exclude[rows]
    wanted = limit + min(exclude.shape[1], limit)  # what was completed is near, and drops out
    nearest, met = await _nearest(embeddings, embedded, limit=wanted, stages=stages, budget=budget)
    faults += met
    began = budget.clock()
    candidates = merge_candidates(release.items, learners, nearest, exclude=exclude, limit=limit)
    budget.spent("merge", began)
    scores, met = await _scores(learners, embeddings, candidates, embedded=embedded, stages=stages, budget=budget)
    return _Ranking(
        candidates=candidates,
        scores=np.where(np.isnan(scores), candidates.score, scores),
        scored=np.asarray(np.isfinite(scores).any(axis=1)),
        proposed=np.asarray((nearest.index >= 0).any(axis=1) | (learners.history >= 0).any(axis=1)),
        faults=(*faults, *met),
    )


async def _nearest(
    embeddings: NDArray[np.float32], embedded: NDArray[np.bool_], *, limit: int, stages: Stages, budget: Budget
) -> tuple[Neighbours, tuple[Fault, ...]]:
    shape = (len(embeddings), limit)
    nearest = Neighbours(np.full(shape, -1, np.int32), np.full(shape, np.inf, np.float32))
    if not embedded.any():
        return nearest, ()
    call = stages.retrieve(embeddings[embedded], limit=limit, deadline_s=budget.allow("retriever"))
    found = await _timed("retriever", call, budget)
    if isinstance(found, Fault):
        return nearest, (found,)
    assert isinstance(found, Retrieved)
    nearest.index[embedded], nearest.distance[embedded] = found.neighbours.index, found.neighbours.distance
    return nearest, found.faults


async def _scores(
    learners: Learners,
    embeddings: NDArray[np.float32],
    candidates: Candidates,
    *,
    embedded: NDArray[np.bool_],
    stages: Stages,
    budget: Budget,
) -> tuple[NDArray[np.float32], tuple[Fault, ...]]:
    """The ranker's scores `[P, K]`; rows of NaN for those without an embedding, or where it did not answer."""
    scores = np.full(candidates.index.shape, np.nan, np.float32)
    rows = np.flatnonzero(embedded & (candidates.index >= 0).any(axis=1))
    if not len(rows):
        return scores, ()
    part = Candidates(
        candidates.index[rows], candidates.score[rows], candidates.source[rows], candidates.evidence[rows]
    )
    call = stages.rank(take_learners(learners, rows), embeddings[rows], part, deadline_s=budget.allow("ranker"))
    ranked = await _timed("ranker", call, budget)
    if isinstance(ranked, Fault):
        return scores, (ranked,)
    scores[rows] = ranked
    return scores, ()


def _order(
    batch: RequestBatch, known: Known, ranking: _Ranking | None, *, release: Release
) -> tuple[Order, NDArray[np.int8]]:
    """What each learner is shown, and the rung that each answer stands on."""
    size, width = len(batch.user_ids), max(batch.limits)
    order = Order.empty(size, width)
    scored, proposed = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    if ranking is not None:
        best = ordered(ranking.candidates, ranking.scores, limit=width)
        order.index[known.personal], order.score[known.personal] = best.index, best.score
        order.source[known.personal] = best.source
        scored[known.personal], proposed[known.personal] = ranking.scored, ranking.proposed
    standing = release.items.standing
    cohorts = known.learners.cohort_index
    order = filled(order, Shelf(standing.popular, standing.popularity), cohort_index=cohorts, exclude=known.exclude)
    return order, ladder.rungs(known.personal, scored=scored, proposed=proposed, cohort_index=cohorts)


def _labels(personal: NDArray[np.bool_], faults: list[str]) -> list[tuple[str, ...]]:
    """`degraded` of each learner; two values for the whole batch."""
    by_kind = {kind: ladder.labels(faults, personal=kind) for kind in (True, False)}
    return [by_kind[bool(kind)] for kind in personal]
