"""Whether a release may take the place of the live one: no worse on its hold-out, nor when asked for a few learners."""

from dataclasses import dataclass

from app.domain.releases import FULL, POPULAR, Manifest

HEADLINE = "ndcg@10"
TOLERANCE = 0.05
"""Of the live release's figure: by so much two trainings on the same data may differ."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """What a release answers to learners that it knows, and to one that it does not."""

    num_asked: int
    num_empty: int
    num_ranked: int  # answers by its ranker
    num_faults: int  # stages that failed on the way


def shortfalls(wanted: Manifest, live: Manifest) -> tuple[str, ...]:
    """What the hold-outs hold against `wanted`; empty where there is nothing."""
    ours, theirs = wanted.metrics.get(FULL, {}).get(HEADLINE), live.metrics.get(FULL, {}).get(HEADLINE)
    popular = wanted.metrics.get(POPULAR, {}).get(HEADLINE)
    found: list[str] = []
    if ours is None:
        return () if theirs is None else (f"it has no {HEADLINE} on a hold-out, the live release has {theirs:.4f}",)
    if theirs is not None and ours < (1 - TOLERANCE) * theirs:
        least = (1 - TOLERANCE) * theirs
        found.append(f"{HEADLINE} {ours:.4f} on its hold-out, the live release {theirs:.4f} (at least {least:.4f})")
    if popular is not None and ours < popular:
        found.append(f"{HEADLINE} {ours:.4f} on its hold-out, less than popularity's {popular:.4f}")
    return tuple(found)


def smoke_shortfalls(wanted: Smoke, live: Smoke) -> tuple[str, ...]:
    """What the answers of `wanted` lack beside those of `live`; both were asked the same number of questions."""
    of = f"of {wanted.num_asked} answers"
    found = {
        f"{wanted.num_empty} {of} are empty, {live.num_empty} of the live release's": wanted.num_empty > live.num_empty,
        f"{wanted.num_ranked} {of} are by its ranker, {live.num_ranked} of the live release's": (
            wanted.num_ranked < live.num_ranked
        ),
        f"{wanted.num_faults} stages failed while it answered": wanted.num_faults > live.num_faults,
    }
    return tuple(what for what, is_so in found.items() if is_so)
