"""What one ingress replica counts, for Prometheus. Labels are few and bounded: never an id."""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from app.recommend.batch import Outcome
from app.serving.access import ACCESS
from app.serving.families import OfReplica
from app.serving.model_metrics import ModelMetrics

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SHIFTS = (-0.5, -0.2, -0.1, -0.05, -0.02, -0.01, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class EventMetrics:
    """What becomes of the events that are sent in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        own = registry
        self._events = Counter("learnrec_events", "Events accepted", ["event_type"], registry=own)
        self._spooled = Counter("learnrec_events_spooled", "Events that the log did not take at once", registry=own)
        self._of_opted_out = Counter(
            "learnrec_events_of_opted_out", "Events not stored, as their learners opted out", registry=own
        )
        self._unmapped = Counter(
            "learnrec_xapi_unmapped", "Statements that are no event, by the reason", ["reason"], registry=own
        )
        self._waiting = Gauge("learnrec_spool_entries", "Events on the disk that wait for the log", registry=own)
        self._to_features = Histogram(
            "learnrec_event_to_feature_seconds", "From arrival to the online features", buckets=SECONDS, registry=own
        )

        self._lag = Gauge("learnrec_event_log_lag", "Entries not ingested yet", ["partition"], registry=own)

    def lag(self, by_partition: Mapping[str, int]) -> None:
        for partition, number in by_partition.items():
            self._lag.labels(partition).set(number)

    def accepted(self, event_types: Sequence[str]) -> None:
        for event_type, number in Tally(event_types).items():
            self._events.labels(event_type).inc(number)

    def of_opted_out(self, number: int) -> None:
        self._of_opted_out.inc(number)

    def spooled(self, number: int) -> None:
        self._spooled.inc(number)

    def unmapped(self, reasons: Sequence[str]) -> None:
        for reason in reasons:
            self._unmapped.labels(reason).inc()

    def waiting(self, number: int) -> None:
        self._waiting.set(number)

    def in_features(self, seconds: float) -> None:
        self._to_features.observe(seconds)


class Metrics:
    """Of recommending; `events` are those of the events, `models` those of what answers."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.replica = ""
        ProcessCollector(registry=own)
        self._requests = Counter("learnrec_requests", "Requests answered", ["method", "route", "status"], registry=own)
        self._seconds = Histogram(
            "learnrec_request_seconds", "From request to answer", ["route"], buckets=SECONDS, registry=own
        )
        self._stages = Histogram(
            "learnrec_stage_seconds", "A stage, for a whole batch", ["stage"], buckets=SECONDS, registry=own
        )
        self._errors = Counter(
            "learnrec_stage_errors", "Batches that a stage failed, by why", ["stage", "cause"], registry=own
        )
        self._sizes = Histogram("learnrec_batch_size", "Requests answered together", buckets=SIZES, registry=own)
        self._answers = Counter("learnrec_answers", "Slates by the rung they stand on", ["served_by"], registry=own)
        self._degraded = Counter(
            "learnrec_degraded", "Slates that miss something, by what and why", ["stage", "cause"], registry=own
        )
        self._refused = Counter("learnrec_refused", "Requests refused for want of capacity", registry=own)
        self.events, self.models = EventMetrics(own), ModelMetrics(own)
        self._trial = Gauge("learnrec_trial_info", "The release on trial", ["release"], registry=own)
        self._withdrawn = Counter(
            "learnrec_trials_withdrawn",
            "Trials that this replica ended, by what it had too many of",
            ["of"],
            registry=own,
        )
        self._overlap = Histogram(
            "learnrec_shadow_overlap", "Of a slate's first 10 on trial with the live one", buckets=SHARES, registry=own
        )
        self._shift = Histogram(
            "learnrec_shadow_score_shift", "Score on trial less the live one", buckets=SHIFTS, registry=own
        )
        self._shadow_seconds = Histogram(
            "learnrec_shadow_seconds", "Stages of a batch answered twice", ["side"], buckets=SECONDS, registry=own
        )
        self._up = Gauge("learnrec_dependency_up", "1 where the dependency answers", ["dependency"], registry=own)

        self._begin()

    def _begin(self) -> None:
        """What is rare is there from the beginning with 0: else its first time would be no increase."""
        for verdict in ("errors", "empty"):
            self._withdrawn.labels(verdict)
        for method, route in ACCESS:
            for status in ("500", "503"):
                self._requests.labels(method, route, status)

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, outcome: Outcome) -> None:
        self._sizes.observe(len(outcome.slates))
        for stage, spent_ms in outcome.timings_ms.items():
            self._stages.labels(stage).observe(spent_ms / 1000)
        for fault in outcome.faults:
            self._errors.labels(fault.stage, fault.cause).inc()
        if outcome.tally is not None:
            self.models.batch(outcome.tally)
        for slate in outcome.slates:
            self._answers.labels(slate.served_by.value).inc()
            for fault in outcome.faults:
                if fault.stage in slate.degraded:
                    self._degraded.labels(fault.stage, fault.cause).inc()

    def refused(self) -> None:
        self._refused.inc()

    def trying(self, release_id: str | None) -> None:
        self._trial.clear()
        if release_id is not None:
            self._trial.labels(release_id).set(1)

    def withdrawn(self, verdict: str) -> None:
        self._withdrawn.labels(verdict).inc()

    def compared(
        self, *, overlaps: Iterable[float], score_shifts: Iterable[float], live_ms: float, trial_ms: float
    ) -> None:
        for overlap in overlaps:
            self._overlap.observe(overlap)
        for shift in score_shifts:
            self._shift.observe(shift)
        self._shadow_seconds.labels("live").observe(live_ms / 1000)
        self._shadow_seconds.labels("trial").observe(trial_ms / 1000)

    def dependency(self, name: str, *, up: bool) -> None:
        self._up.labels(name).set(int(up))

    def text(self) -> bytes:
        return generate_latest(OfReplica(self.registry, self.replica))
