"""What the tasks of `build_features` do: one part of the learners each. Workers import this, so it stays light."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.adapters.object_store import ObjectStore
from app.features.aggregates import ITEM_COUNTS, item_counts, learner_aggregates
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.dataset import index_events
from app.features.examples import INDEX_EVENT_SCHEMA, interaction_examples
from app.features.learners import EventArrays
from jobs import snapshots
from jobs.ray_session import Shared


@dataclass(frozen=True, slots=True)
class Indices:
    """The contents and the learners of a feature run."""

    catalogue: Catalogue
    vocabulary: LearnerVocabulary


@dataclass(frozen=True, slots=True)
class Part:
    """The two steps of a part; both are functions of Arrow tables."""

    store_uri: str
    folder: str
    now: int  # Unix seconds, after every event
    indices: Shared[Indices]

    def index(self, events: pa.Table) -> pa.Table:
        """EVENT_SCHEMA in, INDEX_EVENT_SCHEMA out."""
        of = self.indices.get()
        return index_events(events, catalogue=of.catalogue, vocabulary=of.vocabulary)

    def write(self, events: pa.Table) -> pa.Table:
        """All INDEX_EVENT_SCHEMA rows of some learners in; their files written; ITEM_COUNTS out."""
        if not events.num_rows:
            return ITEM_COUNTS.empty_table()
        of = self.indices.get()
        arrays = EventArrays.sort(*(events[name].to_numpy() for name in INDEX_EVENT_SCHEMA.names))
        ordered = pa.table({name: getattr(arrays, name) for name in INDEX_EVENT_SCHEMA.names})
        examples = interaction_examples(ordered, cohort_of_user=of.vocabulary.cohort_of_user)
        name = f"part-{int(arrays.user[0]):09d}.parquet"  # the lowest learner: a part done again replaces its files
        self._save(snapshots.EVENTS, name, ordered)
        self._save(snapshots.EXAMPLES, name, examples)
        self._save(snapshots.LEARNER_AGGREGATES, name, learner_aggregates(arrays, contents=of.catalogue.arrays))
        counts = item_counts(arrays, now=self.now, num_items=len(of.catalogue))
        return counts.filter(pc.field("learners") > 0)

    def _save(self, part: str, name: str, table: pa.Table) -> None:
        store = ObjectStore(self.store_uri)
        folder = store.path(f"{self.folder}/{part}")
        store.filesystem.create_dir(folder)
        pq.write_table(table, f"{folder}/{name}", filesystem=store.filesystem, compression="zstd")
