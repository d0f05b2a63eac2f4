"""Metrics that are counted in arrays, and what makes those of one replica tell themselves from those of another."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class ArrayHistogram(Collector):
    """A histogram that takes many values at once."""

    def __init__(self, name: str, documentation: str, *, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        """`bounds` ascend; what is beyond the last counts, too."""
        self._name, self._documentation = name, documentation
        self._bounds = np.array(bounds, np.float64)
        self._counts, self._sum = np.zeros(len(bounds) + 1, np.int64), 0.0
        registry.register(self)

    def add(self, values: NDArray[np.float32]) -> None:
        self._counts += np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._counts))
        self._sum += float(values.sum())

    def describe(self) -> Iterator[Metric]:
        """What the registry learns the names from."""
        return self.collect()

    def collect(self) -> Iterator[Metric]:
        names = [*(floatToGoString(bound) for bound in self._bounds), "+Inf"]
        buckets = list(zip(names, np.cumsum(self._counts).tolist(), strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets=buckets, sum_value=self._sum)


class OfReplica(Collector):
    """All of a registry, every series labelled with the replica.

    Behind one address another replica answers each time: without the label their counters would seem to jump.
    """

    def __init__(self, registry: CollectorRegistry, replica: str) -> None:
        self._registry, self._replica = registry, replica

    def collect(self) -> Iterator[Metric]:
        own = {"replica": self._replica} if self._replica else {}
        for family in self._registry.collect():
            family.samples = [
                sample._replace(labels={**sample.labels, **own})
                for sample in family.samples
                if not sample.name.endswith("_created")  # when a counter began: twice the series for nothing
            ]
            yield family
