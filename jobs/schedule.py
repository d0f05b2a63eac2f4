"""When what runs: the one table, for `learnrec schedule` on a machine and for the manifests of a cluster.

What belongs together is one entry, whose steps follow each other: a ranker is of the towers that are there when its
training starts, and a release is of a ranker and an index of the same towers. Thus the towers are trained on Sunday
at 02:00 UTC, the ranker, the whole index and the release (staged, not promoted) every day at 02:00.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """A job and what differs from its defaults, as `--set` takes it."""

    job: str
    assignments: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        return [f"--set={assignment}" for assignment in self.assignments]


@dataclass(frozen=True, slots=True)
class Entry:
    """Steps, one after the other, whenever `cron` says so."""

    name: str
    cron: str  # minute hour day month weekday, in UTC; weekdays by name, as their numbers mean different days elsewhere
    steps: tuple[Step, ...]


_RELEASE = (Step("train_ranking"), Step("build_index"), Step("publish_release"))

SCHEDULE = (
    Entry("events", "*/5 * * * *", (Step("ingest_events"),)),
    Entry("features", "0 * * * *", (Step("build_features"),)),
    Entry("new-contents", "0 * * * *", (Step("build_index", ("incremental=true",)),)),
    Entry("retention", "30 1 * * *", (Step("retention"),)),
    Entry("erasures", "15 * * * *", (Step("erase_learners"),)),  # those that a crash left unfinished
    Entry("ranker", "0 2 * * mon-sat", _RELEASE),
    Entry("towers", "0 2 * * sun", (Step("train_retrieval"), *_RELEASE)),
)
