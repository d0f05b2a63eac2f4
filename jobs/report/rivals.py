"""Which baselines there are, how each chooses its setting, and their lists for the judged learners."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInput
from app.models.baselines import Past, Scores, ease, item_knn, markov, popular, recent_popular, top_lists, with_markov
from app.models.evaluation import list_metrics
from app.models.factorisation import bpr, ials
from app.models.validation import Validation, carve
from jobs.report.lists import DEPTH
from jobs.report.part import Part

Setting = Mapping[str, float]
OnStep = Callable[[str], None]

MAX_DENSE_ITEMS = 10_000
"""Item-kNN and EASE hold matrices of contents x contents: 2 GB at this size, and more are not fitted."""


@dataclass(frozen=True, slots=True)
class Family:
    """Baselines that share a fit; the first setting is used where there is nothing to choose on."""

    labels: Mapping[str, str]  # by name
    fit: Callable[[Past, Setting], Mapping[str, Scores]]  # by name
    settings: tuple[Setting, ...] = ({},)
    timed: tuple[str, ...] = ()  # names that need to know what came before what
    max_items: int | None = None

    @property
    def chooses(self) -> bool:
        return len(self.settings) > 1


@dataclass(frozen=True, slots=True)
class Rival:
    """A baseline's lists."""

    name: str
    label: str
    setting: Setting
    tried: tuple[tuple[Setting, float], ...]  # NDCG@10 on the validation part, where a setting was chosen
    index: NDArray[np.int32]  # [B, DEPTH]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A baseline that was not run."""

    label: str
    reason: str


def _ease(past: Past, setting: Setting) -> dict[str, Scores]:
    linear = ease(past, regularization=setting["lambda"])
    return {"ease": linear} | ({"ease-markov": with_markov(past, linear)} if past.timed else {})


FAMILIES = (
    Family({"popular": "Popular"}, lambda past, _: {"popular": popular(past)}),
    Family(
        {"recent-popular": "Popular, last 7 days"},
        lambda past, _: {"recent-popular": recent_popular(past)},
        timed=("recent-popular",),
    ),
    Family({"item-knn": "Item-kNN"}, lambda past, _: {"item-knn": item_knn(past)}, max_items=MAX_DENSE_ITEMS),
    Family({"markov": "Markov"}, lambda past, _: {"markov": markov(past)}, timed=("markov",)),
    Family(
        {"ease": "EASE", "ease-markov": "EASE + Markov"},
        _ease,
        settings=({"lambda": 200}, {"lambda": 50}, {"lambda": 1000}),
        timed=("ease-markov",),
        max_items=MAX_DENSE_ITEMS,
    ),
    Family(
        {"ials": "iALS"},
        lambda past, s: {"ials": ials(past, factors=int(s["factors"]), alpha=s["alpha"])},
        settings=({"factors": 64, "alpha": 1}, {"factors": 128, "alpha": 10}, {"factors": 64, "alpha": 40}),
    ),
    Family(
        {"bpr": "BPR"},
        lambda past, s: {"bpr": bpr(past, factors=64, learning_rate=s["learning_rate"])},
        settings=({"learning_rate": 0.05}, {"learning_rate": 0.01}),
    ),
)
NAMES = tuple(name for family in FAMILIES for name in family.labels)


def chosen_names(names: Sequence[str]) -> tuple[str, ...]:
    """`names` in the usual order, or all. Raises InvalidInput: one is no baseline."""
    wrong = sorted(set(names) - set(NAMES))
    if wrong:
        raise InvalidInput(f"no baseline {', '.join(map(repr, wrong))}: there are {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in names) if names else NAMES


def num_steps(names: Sequence[str]) -> int:
    """How often `rivals` will tell of a step, at most."""
    return sum(len(f.settings) * f.chooses + 1 for f in FAMILIES if set(names) & set(f.labels))


def rivals(part: Part, names: Sequence[str], on_step: OnStep) -> Iterator[Rival | Skipped]:
    """The baselines `names` on the part, in the usual order; the test part is only read for who is judged."""
    validation: Validation | None = None
    for family in FAMILIES:
        wanted = [name for name in family.labels if name in names]
        reasons = {name: reason for name in wanted if (reason := _reason(family, name, part.past))}
        yield from (Skipped(family.labels[name], reason) for name, reason in reasons.items())
        runs = [name for name in wanted if name not in reasons]
        if runs and family.chooses and validation is None:
            validation = carve(part.past, temporal=part.temporal)
        if runs:
            yield from _run(part, family, runs, validation, on_step)


def _reason(family: Family, name: str, past: Past) -> str | None:
    if name in family.timed and not past.timed:
        return "the events have no times, so there is no order"
    if family.max_items is not None and past.num_items > family.max_items:
        return f"{past.num_items:,} contents are more than the {family.max_items:,} that fit into memory"
    return None


def _run(
    part: Part, family: Family, names: Sequence[str], validation: Validation | None, on_step: OnStep
) -> Iterator[Rival]:
    tried = _tried(family, names, validation, on_step) if family.chooses and validation else {}
    best = {name: max(tried[name], key=lambda pair: pair[1])[0] if tried else family.settings[0] for name in names}
    on_step(" and ".join(family.labels[name] for name in names))
    fitted: dict[str, Mapping[str, Scores]] = {}
    for name in names:
        key = str(best[name])
        if key not in fitted:
            fitted = {key: family.fit(part.past, best[name])}
        index = top_lists(fitted[key][name], part.judged, part.known, num_items=part.past.num_items, limit=DEPTH)
        yield Rival(name, family.labels[name], best[name], tuple(tried.get(name, ())), index)


def _tried(
    family: Family, names: Sequence[str], validation: Validation, on_step: OnStep
) -> dict[str, list[tuple[Setting, float]]]:
    """NDCG@10 on the validation part, by name and setting."""
    tried: dict[str, list[tuple[Setting, float]]] = {name: [] for name in names}
    for setting in family.settings:
        told = ", ".join(f"{key} {value:g}" for key, value in setting.items())
        on_step(f"{next(iter(family.labels.values()))}, validation: {told}")
        fitted = family.fit(validation.past, setting)
        for name in names:
            index = top_lists(
                fitted[name], validation.rows, validation.known, num_items=validation.past.num_items, limit=10
            )
            score = list_metrics(index, validation.relevant, depths=(10,))["ndcg@10"].mean()
            tried[name].append((setting, float(score)))
    return tried
