"""All of the training in one process: what the jobs do on a cluster, for a dataset that is at hand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.features.dataset import Dataset
from app.features.examples import Examples, concat_examples, make_examples
from app.features.item_state import Items, items_at
from app.models.configs import RankerConfig, TowersConfig
from app.models.ranker import Ranker
from app.models.timeline import Timeline
from app.models.train_ranker import fit_ranker, learn_weights, ranking_set, shuffled_auc
from app.models.train_towers import OnEpoch, Towers, continue_towers, fit_towers

MAX_VALIDATION = 5_000
"""Examples that early stopping looks at."""


@dataclass(frozen=True, slots=True)
class FittedSystem:
    towers: Towers
    ranker: Ranker
    items: Items  # as of the timeline's end
    metrics: dict[str, float]
    importance: dict[str, float]  # of the ranker's features


def all_examples(dataset: Dataset) -> Examples:
    return concat_examples(list(make_examples(dataset.events, cohort_of_user=dataset.vocabulary.cohort_of_user)))


def validation_sample(examples: Examples, *, seed: int) -> Examples:
    """At most MAX_VALIDATION of the examples, at random."""
    rng = np.random.default_rng(seed)
    return examples.take(np.sort(rng.permutation(len(examples))[:MAX_VALIDATION]))


def fit_system(
    dataset: Dataset,
    examples: Examples,
    timeline: Timeline,
    *,
    towers: TowersConfig,
    ranker: RankerConfig,
    on_step: Callable[[str], None] = lambda _: None,
    on_epoch: OnEpoch | None = None,
) -> FittedSystem:
    """Steps 2 to 4 of `app.models`, then items as of the end. `on_step(what)` is told what comes next."""
    now = examples.learners.now
    early_part, late = (
        examples.take(now < timeline.ranker_from),
        examples.take((now >= timeline.ranker_from) & (now < timeline.holdout_from)),
    )
    vocabularies = {"catalogue": dataset.catalogue, "vocabulary": dataset.vocabulary}
    on_step("towers")
    valid = validation_sample(late, seed=towers.seed)
    early = fit_towers(early_part, valid, config=towers, on_epoch=on_epoch, **vocabularies)
    on_step("ranking set")
    pairs = dataset.pairs
    then = items_at(pairs, early.item_embeddings, now=timeline.ranker_from, **vocabularies)
    embeddings = early.embed(late.learners)
    weights = learn_weights(late, embeddings, items=then, seed=ranker.seed)
    data = ranking_set(late, embeddings, items=then.weighing(weights), config=ranker)
    on_step("ranker")
    fitted = fit_ranker(data, config=ranker)
    on_step("ranker, labels shuffled")
    leak = shuffled_auc(data, config=ranker)
    on_step("towers, latest events")
    everything = examples.take(now < timeline.holdout_from)
    final = continue_towers(early.model, everything, config=towers, **vocabularies)
    items = items_at(pairs, final.item_embeddings, now=timeline.end, weights=weights, **vocabularies)
    return FittedSystem(final, fitted.ranker, items, fitted.metrics | {"auc_shuffled": leak}, fitted.importance)
