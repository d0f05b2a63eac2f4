"""Arrays become slates, at the very end."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.domain.slates import SOURCES, ServedBy, Slate, SlateItem, Source
from app.models.release import Release
from app.policy.ladder import RUNGS
from app.policy.order import Order
from app.recommend.batch import Outcome, RequestBatch
from app.recommend.stages import Fault


def slates(
    batch: RequestBatch,
    order: Order,
    rungs: NDArray[np.int8],
    *,
    release: Release,
    labels: Sequence[tuple[str, ...]],
) -> tuple[Slate, ...]:
    catalogue, release_id = release.catalogue, release.manifest.release_id
    made: list[Slate] = []
    rows = zip(order.index.tolist(), order.score.tolist(), order.source.tolist(), strict=True)
    for row, (indices, scores, sources) in enumerate(rows):
        items = tuple(
            SlateItem(
                content_id=catalogue.content_ids[index],
                title=catalogue.titles[index],
                type=catalogue.types[index],
                score=round(scores[place], 6),
                position=place + 1,
                source=SOURCES[sources[place]].value,
            )
            for place, index in enumerate(indices[: batch.limits[row]])
            if index >= 0
        )
        made.append(Slate(batch.user_ids[row], release_id, items, RUNGS[rungs[row]], labels[row]))
    return tuple(made)


def without_release(batch: RequestBatch, popular: pa.Table) -> Outcome:
    """The last rung: rows of CONTENT_SCHEMA, most popular first, for everyone, while there is no release at all."""
    rows = zip(
        *(popular.slice(0, max(batch.limits))[name].to_pylist() for name in ("content_id", "title", "type")),
        strict=True,
    )
    items = tuple(
        SlateItem(content_id, title, kind, score=0.0, position=place + 1, source=Source.POPULAR.value)
        for place, (content_id, title, kind) in enumerate(rows)
    )
    made = tuple(
        Slate(user_id, None, items[:limit], ServedBy.POPULAR, ("release",))
        for user_id, limit in zip(batch.user_ids, batch.limits, strict=True)
    )
    return Outcome(made, (Fault("release", "unavailable", "no release is in production"),), {})
