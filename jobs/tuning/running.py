"""The part of a sweep that needs a cluster: data for the trials, as many at once as fit, and what is said meanwhile."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from app.errors import Conflict
from app.settings import Settings
from jobs import stores
from jobs.artefacts import FEATURES, TOWERS, Plan
from jobs.progress import Advance, steps
from jobs.ray_session import Shared, free_cpus, ray_session
from jobs.snapshots import Snapshot
from jobs.tracking import Run
from jobs.train_ranking import RankerTask
from jobs.tuning.ranking import TREES_A_REPORT, RankingTrial, ranking_data
from jobs.tuning.records import Records, TrialRecord, ranked
from jobs.tuning.retrieval import RetrievalTrial, retrieval_data
from jobs.tuning.space import default_point, distributions
from jobs.tuning.spec import Spec
from jobs.tuning.sweep import Sweep, Trial, run_sweep
from jobs.tuning.watcher import Watcher


def sweep_on_cluster(spec: Spec, settings: Settings, planned: Plan, *, track: Run, time_left_s: float | None) -> None:
    """Run the trials that are still wanted; each that ends is written and logged at once.

    Raises KeyboardInterrupt: Ctrl-C; Conflict: the cluster has no CPU at all, or the data are too few.
    """
    store = stores.objects(settings)
    records = Records(store, planned.folder)
    past = records.all()
    wanted = spec.num_trials - sum(record.state != "failed" for record in past)
    _log(track, past, known=track.children())  # a crash may have come between the two
    if wanted < 1:
        return  # only the report is missing
    with ray_session(settings), steps("tune", spec.num_trials) as advance:
        news = _News(spec, past, advance)
        concurrent, num_threads = _at_once(spec, news)
        trial = _trial(spec, planned, store_uri=store.uri_root, num_threads=num_threads)

        def on_record(record: TrialRecord) -> None:
            records.add(record)
            news.ended(record)
            _log(track, [record])

        first = default_point(spec.space, spec.target.whole(spec.fixed))
        sweep = Sweep(
            space=distributions(spec.space, spec.target.config),
            first=None if any(record.params == first for record in past) else first,
            num_trials=wanted,
            concurrent=concurrent,
            longest=_reports(spec),
            grace=spec.grace,
            reduction=spec.reduction,
            time_left_s=time_left_s,
            seed=spec.seed,
        )
        number = max((record.number for record in past), default=0) + 1
        watcher = Watcher(spec.target.metric, first_number=number, on_report=news.reported, on_record=on_record)
        attempts = f"learning-models/attempts/sweep-{planned.run}"
        run_sweep(sweep, trial, past=past, watcher=watcher, store=store, folder=attempts)


def _log(track: Run, records: list[TrialRecord], *, known: Container[str] = ()) -> None:
    """A child of the sweep's run for each trial, but for those that are known there."""
    for record in records:
        name = f"trial {record.number}"
        if name not in known:
            status = "FAILED" if record.state == "failed" else "FINISHED"
            params = {**record.params, "state": record.state, "number": record.number}
            track.child(name, params=params, curve=record.curve, status=status)


def _at_once(spec: Spec, news: "_News") -> tuple[int, int]:
    """Trials at once, and threads of each. A trial holds one CPU ticket and starts nothing that would need another."""
    free, useful = free_cpus()
    if not useful:
        raise Conflict("the cluster has no CPU at all: start a worker, or give Ray's head some")
    limit = spec.max_concurrent or useful
    if not free:
        news.say("waiting for a CPU: other jobs, or the service, hold them all")
    concurrent = max(1, min(limit, useful, free or 1))
    return concurrent, max(1, useful // concurrent)


def _trial(spec: Spec, planned: Plan, *, store_uri: str, num_threads: int) -> Trial:
    snapshot = Snapshot(store_uri, FEATURES.folder(planned.inputs["features"]))
    fixed, metric, config = dict(spec.fixed), spec.target.metric, spec.target.whole(spec.fixed)
    if spec.tunes == "train_retrieval":
        towers = Shared.made_by(retrieval_data, snapshot, holdout_share=spec.holdout_share, seed=config.seed)
        return RetrievalTrial(towers, fixed, num_threads, metric)
    found = TOWERS.find(stores.ObjectStore(store_uri), planned.inputs["towers"])
    task = RankerTask(
        snapshot=snapshot,
        store_uri=store_uri,
        towers=TOWERS.folder(found.run),
        folder=planned.folder,
        attempts="",
        config=config,
        backend="ray-train",
        num_workers=1,
        num_threads=num_threads,
    )
    lists = Shared.made_by(ranking_data, task, validation_share=spec.validation_share)
    return RankingTrial(lists, fixed, num_threads, metric)


def _reports(spec: Spec) -> int:
    """Of the longest trial that the space allows."""
    name = spec.target.length
    longest = int(getattr(spec.target.whole(spec.fixed), name))
    if name in spec.space:
        longest = max(int(value) for value in spec.space[name].samples)
    return longest if spec.tunes == "train_retrieval" else -(-longest // TREES_A_REPORT)


@dataclass(slots=True)
class _News:
    """What is told while trials run."""

    spec: Spec
    records: list[TrialRecord]
    advance: Advance

    def say(self, what: str) -> None:
        self.advance(sum(record.state != "failed" for record in self.records), what)

    def reported(self, number: int, metrics: Mapping[str, float]) -> None:
        self.say(
            f"trial {number}, " + ", ".join(f"{name} {value:.4f}" for name, value in metrics.items()) + self._best()
        )

    def ended(self, record: TrialRecord) -> None:
        self.records = [*self.records, record]
        value = f"{record.metric} {record.value:.4f}" if record.value is not None else record.error
        self.say(f"trial {record.number} {record.state} after {record.seconds:.0f} s, {value}{self._best()}")

    def _best(self) -> str:
        best = next(iter(ranked(self.records)), None)
        return f"; best {best.value:.4f}, trial {best.number}" if best and best.value is not None else ""
