"""The figures of a report: that they agree with each other, and with lists whose quality is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest

from app.errors import InvalidInput
from jobs.report.make import Asked, make_report, total_steps
from jobs.report.record import flat_metrics
from jobs.report.report import LISTS, VERSION, Report
from jobs.report.rivals import NAMES
from jobs.report.slices import popularity_groups
from tests.unit.report.splits import NUM_ITEMS, NUM_LEARNERS, write_lists, write_split


def truth_of(split: Path) -> dict[str, str]:
    return dict(pl.read_csv(split / "test.csv", infer_schema=False).select("user_id", "item_id").rows())


def ranks_of(asked: Asked, order: str) -> list[int]:
    """The place of each learner's test item among what they did not know, the slow way."""
    train = pl.read_csv(asked.split / "train.csv", infer_schema=False)
    wanted = truth_of(asked.split)
    lists = pl.read_parquet(asked.lists).join(train, on=["user_id", "item_id"], how="anti").sort("user_id", order)
    places = {user: frame["item_id"].to_list() for (user,), frame in lists.group_by("user_id", maintain_order=True)}
    return [places[user].index(item) for user, item in wanted.items()]


def test_metrics_of_the_lists_are_those_of_their_ranks(asked: Asked, report: Report) -> None:
    places = np.array(ranks_of(asked, "rank"))
    metrics = report.models[0].metrics
    assert metrics["hit@10"].mean == pytest.approx((places < 10).mean())
    assert metrics["mrr@20"].mean == pytest.approx(np.where(places < 20, 1 / (places + 1), 0).mean())
    assert metrics["ndcg@10"].mean == pytest.approx(np.where(places < 10, 1 / np.log2(places + 2), 0).mean())
    assert metrics["recall@100"].mean == 1
    assert report.models[0].recall_curve[9] == pytest.approx(metrics["recall@10"].mean)


def test_the_ranker_adds_what_its_order_is_better_than_the_candidates(asked: Asked, report: Report) -> None:
    places = np.array(ranks_of(asked, "candidate_rank"))
    alone = np.where(places < 10, 1 / np.log2(places + 2), 0).mean()
    assert report.stage is not None
    assert report.stage.candidates["ndcg@10"].mean == pytest.approx(alone)
    gain = report.stage.gain["ndcg@10"]
    assert gain.mean == pytest.approx(report.models[0].metrics["ndcg@10"].mean - alone)
    assert 0 < gain.low < gain.high
    assert report.stage.ceiling.mean == 1
    assert report.stage.gain["recall@100"].mean == 0


def test_differences_are_the_lists_less_each_baseline(report: Report) -> None:
    baselines = {m.name: m for m in report.models[1:]}
    assert tuple(baselines) == NAMES
    for gap in report.differences:
        mine, theirs = report.models[0].metrics["ndcg@10"].mean, baselines[gap.name].metrics["ndcg@10"].mean
        assert gap.metrics["ndcg@10"].mean == pytest.approx(mine - theirs)
    verdicts = {gap.name: gap.verdict for gap in report.differences}
    assert verdicts["popular"] == "better"
    assert verdicts["markov"] == "worse"  # items come mostly in order


def test_slices_add_up_to_the_whole(report: Report) -> None:
    for name in (LISTS, "ease"):
        model = next(m for m in report.models if m.name == name)
        learners = sum(s.count * s.models[name]["ndcg@10"].mean for s in report.by_history)
        assert learners / NUM_LEARNERS == pytest.approx(model.metrics["ndcg@10"].mean)
        found = sum(s.count * s.models[name]["recall@10"].mean for s in report.by_popularity)
        assert found / NUM_LEARNERS == pytest.approx(model.metrics["recall@10"].mean)
        assert sum(model.places.values()) == pytest.approx(1)
    assert sum(s.count for s in report.by_history) == NUM_LEARNERS


def test_head_middle_and_tail_share_the_training_pairs() -> None:
    groups = popularity_groups(np.array([0, 1, 6, 2, 2, 1]))
    assert groups.tolist() == [3, 2, 0, 1, 2, 2]


def test_sources_and_scores_account_for_every_place(report: Report) -> None:
    assert {s.source for s in report.sources} == {"next", "two_tower"}
    assert sum(s.share_10 for s in report.sources) == pytest.approx(1)
    assert sum(s.share_of_hits for s in report.sources) == pytest.approx(1)
    assert report.reliability is not None
    bins = report.reliability.bins
    assert sum(round(b.count * b.hit_rate.mean) for b in bins) == NUM_LEARNERS
    assert [b.score for b in bins] == sorted(b.score for b in bins)
    assert bins[-1].hit_rate.mean > bins[0].hit_rate.mean
    assert report.reliability.probability


def test_calibrated_scores_lie_on_the_line(asked: Asked, tmp_path: Path) -> None:
    wanted = truth_of(asked.split)
    frame = pl.read_parquet(asked.lists)
    hit = pl.Series([wanted[user] == item for user, item in frame.select("user_id", "item_id").rows()])
    path = tmp_path / "sure.parquet"
    frame.with_columns(score=hit.cast(pl.Float32)).write_parquet(path)
    found = make_report(replace(asked, lists=path, baselines=("popular",)), lambda _: None)
    assert found.reliability is not None
    assert found.reliability.error == pytest.approx(0, abs=1e-6)


def test_timeless_data_go_without_what_needs_an_order(tmp_path: Path) -> None:
    split = write_split(tmp_path / "split", timed=False)
    lists = write_lists(tmp_path / "mine.parquet", split)
    pl.read_parquet(lists).select("user_id", "item_id", "rank").write_parquet(lists)
    report = make_report(Asked(split, lists), lambda _: None)
    assert [m.name for m in report.models[1:]] == ["popular", "item-knn", "ease", "ials", "bpr"]
    reason = "the events have no times, so there is no order"
    assert {report.skipped[label] for label in ("Popular, last 7 days", "Markov", "EASE + Markov")} == {reason}
    assert report.skipped["What the ranker adds"] == "the lists have no column candidate_rank"
    assert report.skipped["Intra-list diversity"] == "no metadata of contents was given (--items)"
    assert (report.stage, report.sources, report.reliability, report.training) == (None, (), None, None)


def test_metadata_without_tags_are_said_to_have_none(asked: Asked, tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    pl.DataFrame({"item_id": [f"i{i}" for i in range(NUM_ITEMS)]}).write_csv(items)
    report = make_report(replace(asked, items=items, baselines=("popular",)), lambda _: None)
    assert report.skipped["Intra-list diversity"] == "no content of the split has a tag in items.csv"
    assert report.models[0].diversity is None


def test_diversity_is_there_with_tags(report: Report) -> None:
    assert report.models[0].diversity is not None
    assert 0 < report.models[0].diversity.mean < 1


def test_two_runs_are_the_same_to_the_last_digit(asked: Asked, report: Report) -> None:
    steps: list[str] = []
    again = make_report(asked, steps.append)
    assert orjson.dumps(again) == orjson.dumps(report)
    assert len(steps) == total_steps(asked)


def test_json_keeps_its_shape(report: Report) -> None:
    said = orjson.loads(orjson.dumps(report))
    assert said["version"] == VERSION == 1
    assert set(said) == {
        *("version", "file", "split", "notes", "models", "differences", "by_history", "by_popularity", "stage"),
        *("sources", "reliability", "training", "skipped", "seed", "draws"),
    }
    assert set(said["models"][0]["metrics"]["ndcg@10"]) == {"mean", "low", "high"}
    assert said["split"]["num_judged"] == NUM_LEARNERS


def test_a_run_gets_every_model_and_no_gap_in_numbers(report: Report) -> None:
    values = flat_metrics(report)
    assert values["ndcg@10"] == report.models[0].metrics["ndcg@10"].mean
    assert {f"{name}/ndcg@10" for name in NAMES} < set(values)
    assert all(np.isfinite(value) for value in values.values())


def test_a_baseline_that_there_is_not_is_refused(asked: Asked) -> None:
    with pytest.raises(InvalidInput, match="no baseline 'oracle': there are popular, recent-popular"):
        make_report(replace(asked, baselines=("oracle",)), lambda _: None)
