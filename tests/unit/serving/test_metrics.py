"""What is counted, and that it stays few: a label whose values are not bounded would bring the monitoring down."""

from math import isnan

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.domain.releases import CALIBRATION_ERROR, FULL, SCORE_TO_MET
from app.domain.slates import SOURCES, ServedBy, Slate
from app.features.drift import NUM_BINS, FeatureBins
from app.features.ranking import PLAIN_FEATURES
from app.recommend.batch import Outcome, Tally
from app.recommend.stages import Fault
from app.serving.families import ArrayHistogram
from app.serving.metrics import Metrics
from tests.released import manifest

BOUNDED = {
    "method": "of a known route",
    "route": "templates, never paths",
    "status": "three digits",
    "stage": "stages of a request",
    "cause": "four words",
    "served_by": "rungs of the ladder",
    "source": "sources of candidates",
    "event_type": "types of events",
    "reason": "why a statement is no event",
    "release": "one at a time",
    "of": "a few words of ours",
    "result": "hit or miss",
    "side": "live or trial",
    "dependency": "what health names",
    "feature": "PLAIN_FEATURES",
    "partition": "of the log",
    "le": "bounds of a histogram",
    "replica": "one of them answers",
}
"""Every label that may be, and why its values are few."""


def filled() -> Metrics:
    """With everything counted once."""
    metrics = Metrics()
    metrics.replica = "abc"
    slate = Slate("ada", "r1", (), ServedBy.RANKER, ("ranker",))
    tally = Tally(
        candidates=np.arange(len(SOURCES)),
        shown=np.arange(len(SOURCES)),
        scores=np.array([0.2, 0.9], np.float32),
        personal=2,
        looked_up=3,
        with_recent=1,
        with_embedding=2,
    )
    metrics.batch(Outcome((slate,), (Fault("ranker", "late", "of ada"),), {"ranker": 12.0}, tally))
    metrics.answered(method="GET", route="/recommend/{user_id}", status=200, seconds=0.01)
    metrics.events.lag({"0": 7})
    bins = FeatureBins.of(np.random.default_rng(1).random((1_000, len(PLAIN_FEATURES)), np.float32))
    metrics.models.drifted(bins, np.full((len(PLAIN_FEATURES), NUM_BINS), 200.0))
    return metrics


def samples(text: bytes) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(text.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return samples(metrics.text())[name, frozenset({**labels, "replica": "abc"}.items())]


def test_no_label_is_unbounded() -> None:
    metrics = filled()
    declared = {
        name for collector in metrics.registry._collector_to_names for name in getattr(collector, "_labelnames", ())
    }
    told = {name for _, labels in samples(metrics.text()) for name, _ in labels}
    assert declared | told <= BOUNDED.keys()
    assert b"ada" not in metrics.text()


def test_everything_says_which_replica_it_is_of() -> None:
    assert all(("replica", "abc") in labels for _, labels in samples(filled().text()))


def test_a_batch_is_counted_by_source_stage_and_cause() -> None:
    metrics = filled()
    assert value(metrics, "learnrec_candidates_total", source="new") == len(SOURCES) - 1
    assert value(metrics, "learnrec_stage_errors_total", stage="ranker", cause="late") == 1
    assert value(metrics, "learnrec_cache_lookups_total", of="recent_events", result="hit") == 1
    assert value(metrics, "learnrec_cache_lookups_total", of="embedding", result="miss") == 1
    assert value(metrics, "learnrec_score_count") == 2
    assert value(metrics, "learnrec_feature_psi", feature="difficulty") == pytest.approx(0, abs=0.01)


def test_calibration_is_that_of_the_release_and_unknown_where_it_was_not_measured() -> None:
    metrics, judged = Metrics(), {FULL: {CALIBRATION_ERROR: 0.07, SCORE_TO_MET: 1.3}}
    metrics.replica = "abc"
    names = ("learnrec_release_calibration_error", "learnrec_release_score_to_met_ratio")
    assert all(isnan(value(metrics, name)) for name in names)
    metrics.models.serving(manifest(metrics=judged))
    assert [value(metrics, name) for name in names] == [0.07, 1.3]
    metrics.models.serving(manifest(metrics={FULL: {"ndcg@10": 0.2}}))
    assert all(isnan(value(metrics, name)) for name in names)


def test_many_values_at_once_make_the_histogram_that_one_by_one_would() -> None:
    values = np.array([0.0, 0.1, 0.100001, 0.5, 0.9, 3.0])
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    array = ArrayHistogram("a", "A", bounds=(0.1, 0.5, 1.0), registry=ours)
    plain = Histogram("a", "A", buckets=(0.1, 0.5, 1.0), registry=theirs)
    array.add(values)
    for one in values:
        plain.observe(one)
    expected = {key: number for key, number in samples(generate_latest(theirs)).items() if key[0] != "a_created"}
    assert samples(generate_latest(ours)) == pytest.approx(expected)
