"""Sweeps without a cluster: what a space may say, what is remembered of trials, what comes out in the end."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import InvalidSpec
from app.models.configs import RankerConfig, TowersConfig
from jobs.spec import SPECS, load_spec, parse_spec
from jobs.submission import arguments_of
from jobs.tuning.outcome import Outcome, toml
from jobs.tuning.ranking import OF_THE_BOOSTER, mean_ndcg
from jobs.tuning.records import TrialRecord, ranked
from jobs.tuning.report import report_json, report_page
from jobs.tuning.space import Dimension, default_point, distributions
from jobs.tuning.spec import Spec
from jobs.tuning.targets import TARGETS

READY = sorted(SPECS.glob("tune-*.toml"))


def faults(**values: Any) -> str:
    with pytest.raises(InvalidSpec) as caught:
        parse_spec(Spec, values, where="sweep.toml")
    return str(caught.value)


def record(number: int, values: list[float], *, state: Any = "finished", **params: Any) -> TrialRecord:
    curve = [{"recall@100": value} for value in values]
    return TrialRecord(number=number, params=params, state=state, metric="recall@100", curve=curve, seconds=1.0)


def outcome_of(*records: TrialRecord, **space: Dimension) -> Outcome:
    return Outcome.of(TARGETS["train_retrieval"], fixed={"hidden_dim": 32}, space=space, records=list(records))


def test_there_are_two_ready_specs() -> None:
    assert {load_spec("tune", path).model_dump()["tunes"] for path in READY} == set(TARGETS)


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_a_ready_spec_has_trials_enough_and_starts_from_the_defaults(path: Path) -> None:
    spec = load_spec("tune", path)
    assert isinstance(spec, Spec)
    assert spec.num_trials >= 20
    assert default_point(spec.space, spec.target.whole(spec.fixed)) is not None


@pytest.mark.parametrize("path", READY, ids=lambda path: path.stem)
def test_a_ready_spec_is_the_same_when_it_is_submitted(path: Path) -> None:
    spec = load_spec("tune", path)
    words = arguments_of(spec)
    assert load_spec("tune", None, [word.removeprefix("--set=") for word in words]) == spec


def test_an_unknown_name_in_the_space_is_answered_with_those_there_are() -> None:
    told = faults(space={"speed": {"low": 1, "high": 2}})
    assert "space.speed: unknown key; allowed here are embedding_dim" in told
    assert "learning_rate" in told


def test_all_that_is_wrong_with_the_tables_is_told_at_once() -> None:
    told = faults(
        tunes="train_ranking",
        ranker={"trees": 3, "max_depth": 99},
        space={
            "max_bin": {"low": 16, "high": 5000},
            "learning_rate": {"low": 0.5, "high": 0.1},
            "subsample": {"low": 0.0, "high": 1.0, "log": True},
            "colsample": {"choices": [1.0]},
            "objective": {"low": 1, "high": 2},
            "num_folds": {"low": 2, "high": 5},
            "num_trees": {"low": 10, "choices": [1, 2]},
        },
    )
    assert "ranker.trees: unknown key" in told
    assert "ranker.max_depth: Input should be less than or equal to 16, not 99" in told
    assert "space.max_bin: Input should be less than or equal to 1024, not 5000" in told
    assert "space.learning_rate: low must be less than high" in told
    assert "space.subsample: a logarithmic range starts above 0" in told
    assert "space.colsample: give at least two different choices" in told
    assert "space.objective: it is no number; give choices" in told
    assert "space.num_folds: a trial is judged on one hold-out" in told
    assert "space.num_trees: give either choices, or low and high" in told


def test_a_key_that_a_dimension_does_not_have_is_named() -> None:
    told = faults(space={"dropout": {"lo": 0.1, "high": 0.2}})
    assert "space.dropout.lo: unknown key; allowed here are low, high, log, choices" in told


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"towers": {"dropout": 0.2}, "space": {"dropout": {"low": 0.1, "high": 0.2}}}, "it is fixed in [towers]"),
        ({"towers": "run1"}, "train_retrieval makes towers"),
        ({"ranker": {"num_trees": 3}}, "only train_ranking takes it"),
        ({"tunes": "train_ranking", "towers": {"dropout": 0.2}}, "takes a run of train_retrieval"),
        ({"tunes": "train_ranking", "features": "run1"}, "they come with the towers"),
        ({"space": {"id_dim": {"low": 4.5, "high": 20}}}, "space.id_dim: Input should be a valid integer"),
    ],
)
def test_what_does_not_go_together_is_said(values: dict[str, Any], told: str) -> None:
    assert told in faults(**values)


def test_whole_numbers_stay_whole_and_both_ends_belong_to_a_range() -> None:
    space = {"max_depth": Dimension(low=3, high=4), "learning_rate": Dimension(low=0.1, high=0.3, log=True)}
    found = distributions(space, RankerConfig)
    assert (type(found["max_depth"]).__name__, type(found["learning_rate"]).__name__) == (
        "IntDistribution",
        "FloatDistribution",
    )
    assert (found["max_depth"].low, found["max_depth"].high) == (3, 4)  # type: ignore[attr-defined]
    assert found["learning_rate"].log  # type: ignore[attr-defined]


def test_the_defaults_are_a_point_only_where_the_space_holds_them() -> None:
    config = TowersConfig(learning_rate=0.002, hidden_dim=256)
    inside = {"learning_rate": Dimension(low=0.001, high=0.01), "hidden_dim": Dimension(choices=(128, 256))}
    assert default_point(inside, config) == {"learning_rate": 0.002, "hidden_dim": 256}
    assert default_point({"learning_rate": Dimension(low=0.01, high=0.1)}, config) is None


def test_a_trial_is_worth_its_best_report() -> None:
    one = record(1, [0.2, 0.5, 0.4])
    assert (one.best, one.value, one.best_at) == ([0.2, 0.5, 0.5], 0.5, 2)
    nothing = record(2, [], state="failed")
    assert ranked([nothing, record(3, [0.1]), one]) == [one, record(3, [0.1]), nothing]


def test_only_what_shapes_trees_leaves_the_training_set_as_it_is() -> None:
    assert RankerConfig.model_fields.keys() >= OF_THE_BOOSTER
    assert not OF_THE_BOOSTER & {"num_negatives", "max_queries", "num_candidates", "seed"}


def test_ndcg_is_one_for_the_ideal_order_and_counts_only_lists_with_a_hit() -> None:
    label = np.array([1.0, 0.5, 0.0, 0.0, 0.0, 1.0], np.float32)
    query = np.array([0, 0, 0, 1, 1, 2], np.int32)
    assert mean_ndcg(label, label, query) == 1.0
    worst = mean_ndcg(-label, label, query)
    ideal = 1 + 0.5 / np.log2(3)
    assert worst == pytest.approx(((0.5 / np.log2(3) + 1 / np.log2(4)) / ideal + 1) / 2)
    assert mean_ndcg(-label, label, query, depth=1) == pytest.approx(0.5)


def test_the_best_spec_is_a_spec_of_the_tuned_job(tmp_path: Path) -> None:
    outcome = outcome_of(
        record(1, [0.3], learning_rate=0.002),
        record(2, [0.4], learning_rate=1e-05),
        learning_rate=Dimension(low=1e-5, high=0.01),
    )
    file = tmp_path / "best.toml"
    file.write_text(toml(outcome, {"features": 'a "b"', "towers": outcome.config.model_dump(mode="json")}))

    spec: Any = load_spec("train_retrieval", file)

    assert (spec.features, spec.towers) == ('a "b"', TowersConfig(hidden_dim=32, learning_rate=1e-05))
    assert tomllib.loads(file.read_text())["towers"].keys() == TowersConfig.model_fields.keys()


def test_the_report_names_what_matters_and_whom_the_best_beat() -> None:
    space = {"learning_rate": Dimension(low=0.0001, high=1.0), "dropout": Dimension(low=0.0, high=0.5)}
    records = [
        record(n, [0.1, 0.1 + rate], learning_rate=rate, dropout=(n * 7 % 10) / 20)
        for n, rate in enumerate((0.002, 0.1, 0.9, 0.3, 0.5, 0.01, 0.7, 0.2), 1)
    ]
    stopped, failed = (
        record(9, [0.05], state="stopped", learning_rate=0.05, dropout=0.3),
        record(10, [], state="failed", learning_rate=0.06, dropout=0.3),
    )
    outcome = outcome_of(*records, stopped, failed, **space)

    told = report_json(outcome, run="r1", inputs={"features": "f1"}, spec_of_job={})
    page = report_page(outcome, told, spec_text="[towers]\nlearning_rate = 0.9\n")

    assert told["best"]["number"] == 3
    assert [trial["number"] for trial in told["trials"]][-1] == 10
    assert told["importance"]["learning_rate"] > 0.8
    assert told["metrics"] == {"best recall@100": 1.0, "num_trials": 10, "num_finished": 8, "num_stopped": 1} | {
        "num_failed": 1
    }
    assert "Importance" in page
    assert "learnrec job run train_retrieval" in page
    assert "src=" not in page.split("</head>")[1]
