"""A feature run's folder: what `build_features` writes and every training reads.

catalogue/ learners/               the contents and the learners, with their indices
events/part-….parquet              INDEX_EVENT_SCHEMA, whole learners a file, sorted by learner and time
examples/part-….parquet            EXAMPLE_SCHEMA
learner_aggregates/part-….parquet  LEARNER_AGGREGATES
items.parquet                      ITEM_AGGREGATES, row = catalogue index
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from app.adapters.object_store import ObjectStore
from app.features.aggregates import ITEM_COUNTS
from app.features.catalogue import Catalogue, LearnerVocabulary
from app.features.examples import INDEX_EVENT_SCHEMA, Examples, from_table
from app.features.learners import EventArrays

CATALOGUE, LEARNERS, EVENTS, EXAMPLES = "catalogue", "learners", "events", "examples"
LEARNER_AGGREGATES, ITEMS = "learner_aggregates", "items.parquet"

ITEM_AGGREGATES = pa.schema(
    [*ITEM_COUNTS, ("content_id", pa.string()), ("popularity", pa.float32()), ("trend", pa.float32())],
    metadata={"version": "1"},
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One feature run; small enough to send to a worker, which then reads what it needs."""

    store_uri: str
    folder: str

    def catalogue(self) -> Catalogue:
        with tempfile.TemporaryDirectory() as work:
            return Catalogue.load(self._local(CATALOGUE, Path(work)))

    def vocabulary(self) -> LearnerVocabulary:
        with tempfile.TemporaryDirectory() as work:
            return LearnerVocabulary.load(self._local(LEARNERS, Path(work)))

    def events(self) -> EventArrays:
        table = self._table(EVENTS)
        return EventArrays.sort(*(table[name].to_numpy() for name in INDEX_EVENT_SCHEMA.names))

    def examples(self) -> Examples:
        """Those of a learner follow each other, in order of time."""
        return from_table(self._table(EXAMPLES))

    def download(self, part: str, folder: Path) -> None:
        ObjectStore(self.store_uri).download(f"{self.folder}/{part}", folder)

    def _local(self, part: str, work: Path) -> Path:
        self.download(part, work / part)
        return work / part

    def _table(self, part: str) -> pa.Table:
        store = ObjectStore(self.store_uri)
        return pq.read_table(store.path(f"{self.folder}/{part}"), filesystem=store.filesystem)
