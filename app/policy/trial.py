"""A release on trial: who gets it, how its answers differ from the live one's, and when it has to go."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from app.domain.slates import Slate

DEPTH = 10
WINDOW = 500
"""Answers of each side that are remembered."""

LEAST = 50
"""Answers on trial before anything is concluded from them."""

ERRORS_ABOVE, EMPTY_ABOVE = 0.05, 0.02
"""By so much the share on trial may exceed the live one's."""

OF_THE_RELEASE = frozenset({"embedder", "retriever", "milvus", "ranker"})
"""Labels of `degraded` for which a release may be to blame."""


def falls_in(user_id: str, release_id: str, share: float) -> bool:
    """Whether the learner is among the `share` who get the release; always the same ones of it."""
    digest = blake2b(f"{release_id} {user_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < share * 2**64


def overlaps(shown: Sequence[Slate], other: Sequence[Slate]) -> NDArray[np.float64]:
    """Share of each learner's first DEPTH contents that is in both slates, of the longer one. `[B]`."""
    tops = [(_top(a), _top(b)) for a, b in zip(shown, other, strict=True)]
    return np.array([len(a & b) / max(len(a), len(b), 1) for a, b in tops])


def score_shifts(shown: Sequence[Slate], other: Sequence[Slate]) -> NDArray[np.float64]:
    """Mean score on trial less the live one, of the contents in both slates; learners without any are left out."""
    found: list[float] = []
    for a, b in zip(shown, other, strict=True):
        live = {item.content_id: item.score for item in a.items}
        both = [item.score - live[item.content_id] for item in b.items if item.content_id in live]
        found += [float(np.mean(both))] if both else []
    return np.array(found)


def _top(slate: Slate) -> frozenset[str]:
    return frozenset(item.content_id for item in slate.items[:DEPTH])


@dataclass(slots=True)
class _Side:
    errors: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))
    empty: deque[bool] = field(default_factory=lambda: deque(maxlen=WINDOW))


@dataclass(slots=True)
class Watch:
    """The last answers of both sides."""

    live: _Side = field(default_factory=_Side)
    trial: _Side = field(default_factory=_Side)

    def saw(self, slates: Sequence[Slate], *, on_trial: bool) -> None:
        side = self.trial if on_trial else self.live
        side.errors.extend(not OF_THE_RELEASE.isdisjoint(slate.degraded) for slate in slates)
        side.empty.extend(not slate.items for slate in slates)

    def failed(self, num: int) -> None:
        """So many learners got no answer from the release on trial."""
        self.trial.errors.extend([True] * num)

    def verdict(self) -> str | None:
        """Why the release on trial has to go: `errors` or `empty`; None while nothing speaks against it."""
        for name, above in (("errors", ERRORS_ABOVE), ("empty", EMPTY_ABOVE)):
            ours, theirs = getattr(self.trial, name), getattr(self.live, name)
            if len(ours) >= LEAST and _share(ours) > _share(theirs) + above:
                return name
        return None


def _share(flags: deque[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
