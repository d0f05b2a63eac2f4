"""Items as of a moment: everything that retrieval and ranking know of the contents, as arrays."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.domain.slates import SOURCES
from app.features.arrays import load_arrays, save_arrays
from app.features.catalogue import Catalogue, ContentArrays, LearnerVocabulary
from app.features.histories import Histories
from app.features.items import as_share, newest, popular_lists, popularity
from app.features.learners import EventArrays
from app.features.neighbours import NeighbourTable, together, transitions

MEMORY = 256
"""Contents of a learner that a release remembers, beyond the window of recent events."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the contents stand at the moment; row = catalogue index."""

    popularity: NDArray[np.float32]  # [I] 0..1
    week: NDArray[np.float32]  # [I] 0..1, the same of the last 7 days alone
    month: NDArray[np.float32]  # [I] 0..1, of the last 30
    trend: NDArray[np.float32]  # [I] log of the week's rate over the month's
    popular: NDArray[np.int32]  # [num_cohorts + 1, P] most popular overall (row 0) and by cohort
    newest: NDArray[np.int32]  # [n] newest first


@dataclass(frozen=True, slots=True)
class Items:
    """All arrays over the catalogue that one release serves from."""

    contents: ContentArrays
    standing: Standing
    following: NeighbourTable
    together: NeighbourTable
    memory: Histories  # row = user index: what each learner had met by then
    weights: NDArray[np.float32]  # [len(SOURCES)] what a source's proposal counts for
    embeddings: NDArray[np.float32]  # [I, dim] unit norm

    def __len__(self) -> int:
        return len(self.standing.popularity)

    def at(self, standing: Standing) -> "Items":
        """The same contents as they stood at another moment."""
        return replace(self, standing=standing)

    def weighing(self, weights: NDArray[np.float32]) -> "Items":
        """The same with other weights of the sources."""
        return replace(self, weights=weights)

    def extended(self, contents: ContentArrays, embeddings: NDArray[np.float32], *, now: int) -> "Items":
        """With contents that nobody has met behind its own: `contents` are of all, `embeddings` `[n, dim]` of the new.

        New is what was made lately, seen from `now` (Unix seconds).
        """
        nobody = np.zeros(len(embeddings), np.float32)
        counts = {
            name: np.r_[getattr(self.standing, name), nobody] for name in ("popularity", "week", "month", "trend")
        }
        return replace(
            self,
            contents=contents,
            standing=replace(self.standing, **counts, newest=newest(contents.created_at, now=now)),
            following=self.following.widened(len(embeddings)),
            together=self.together.widened(len(embeddings)),
            embeddings=np.concatenate([self.embeddings, embeddings]),
        )

    def save(self, folder: Path) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                np.save(folder / f"{name}.npy", value, allow_pickle=False)
            else:
                save_arrays(folder / name, value)

    @classmethod
    def load(cls, folder: Path) -> "Items":
        return cls(
            contents=load_arrays(folder / "contents", ContentArrays),
            standing=load_arrays(folder / "standing", Standing),
            following=load_arrays(folder / "following", NeighbourTable),
            together=load_arrays(folder / "together", NeighbourTable),
            memory=load_arrays(folder / "memory", Histories),
            weights=np.load(folder / "weights.npy", allow_pickle=False),
            embeddings=np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False),
        )


def standing_at(pairs: EventArrays, *, catalogue: Catalogue, vocabulary: LearnerVocabulary, now: int) -> Standing:
    """From first meetings (`pairs`) before `now` (Unix seconds)."""
    counts = popularity(pairs, now=now, num_items=len(catalogue))
    return Standing(
        popularity=as_share(counts.total),
        week=as_share(counts.week),
        month=as_share(counts.month),
        trend=counts.trend,
        popular=popular_lists(
            pairs,
            cohort_of_user=vocabulary.cohort_of_user,
            num_cohorts=len(vocabulary.cohorts),
            now=now,
            num_items=len(catalogue),
        ),
        newest=newest(catalogue.arrays.created_at, now=now),
    )


def items_at(
    pairs: EventArrays,
    embeddings: NDArray[np.float32],
    *,
    catalogue: Catalogue,
    vocabulary: LearnerVocabulary,
    now: int,
    weights: NDArray[np.float32] | None = None,
) -> Items:
    """Items as of `now`, from first meetings before it and embeddings `[I, dim]`; sources weigh alike unless told."""
    before = pairs.take(pairs.ts < now)
    everyone = np.arange(len(vocabulary) + 1, dtype=np.int32)
    return Items(
        contents=catalogue.arrays,
        standing=standing_at(before, catalogue=catalogue, vocabulary=vocabulary, now=now),
        following=transitions(before, num_items=len(catalogue)),
        together=together(before, num_items=len(catalogue)),
        memory=Histories.of(before, everyone).last(MEMORY),
        weights=np.ones(len(SOURCES), np.float32) if weights is None else weights,
        embeddings=embeddings,
    )
