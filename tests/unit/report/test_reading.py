"""Split folders and lists as they come: what is refused, and what is taken out and counted."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from app.errors import InvalidInput
from jobs.report.lists import read_lists
from jobs.report.part import Part, read_part
from jobs.report.training import read_training
from tests.unit.report.splits import NUM_LEARNERS, write_lists, write_split

Rows = list[tuple[str, str, int]]


def lists_of(path: Path, rows: Rows) -> Path:
    schema = {"user_id": pl.String, "item_id": pl.String, "rank": pl.Int32}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)
    return path


def ids(part: Part, index: list[int]) -> list[str]:
    return [part.item_ids[i] for i in index if i >= 0]


def test_everybody_with_a_past_is_judged_on_all_of_their_test_pairs(split: Path) -> None:
    part = read_part(split)

    wanted = pl.read_csv(split / "test.csv", infer_schema=False).select("user_id", "item_id").rows()
    assert [
        (part.user_ids[int(row)], part.item_ids[int(part.relevant[n][0])]) for n, row in enumerate(part.judged)
    ] == [(user, item) for user, item in sorted(wanted, key=lambda pair: int(pair[0]))]
    assert part.past.timed
    assert part.notes == ()


def test_without_times_or_with_one_time_only_there_is_no_order(tmp_path: Path, split: Path) -> None:
    assert not read_part(write_split(tmp_path / "timeless", timed=False)).past.timed
    frame = pl.read_csv(split / "train.csv").with_columns(timestamp=pl.lit(5))
    frame.write_csv(split / "train.csv")
    assert not read_part(split).past.timed


def test_a_split_is_temporal_if_nothing_of_the_test_part_is_older_than_training(split: Path) -> None:
    assert not read_part(split).temporal
    test = pl.read_csv(split / "test.csv").with_columns(timestamp=pl.lit(2_000_000_000))
    test.write_csv(split / "test.csv")
    assert read_part(split).temporal
    test.drop("timestamp").write_csv(split / "test.csv")
    assert not read_part(split).temporal


def test_repeats_newcomers_and_the_unasked_are_counted(split: Path) -> None:
    test = pl.read_csv(split / "test.csv", infer_schema=False)
    train = pl.read_csv(split / "train.csv", infer_schema=False)
    known = train.filter(pl.col("user_id") == "0").head(1)
    new = pl.DataFrame({"user_id": ["newcomer"], "item_id": ["i1"], "timestamp": ["1"]})
    unseen = pl.DataFrame({"user_id": ["0"], "item_id": ["never met"], "timestamp": ["1"]})
    pl.concat([test, test.head(2), known, new, unseen]).write_csv(split / "test.csv")
    pl.read_csv(split / "users.csv", infer_schema=False).head(50).write_csv(split / "users.csv")

    part = read_part(split)

    assert len(part.judged) == NUM_LEARNERS
    assert part.notes == (
        "1 learners of the test part have no training event: they are not judged",
        "2 repeated pairs of the test part count once",
        "1 test pairs were met in training already: they stay in the ideal, but no list can hold them",
        f"{1 / (NUM_LEARNERS + 2):.1%} of the test pairs are on contents without any training event",
        "10 judged learners are not in users.csv",
    )


def drop_item_id(split: Path) -> None:
    pl.read_csv(split / "train.csv").drop("item_id").write_csv(split / "train.csv")


def blank_an_id(split: Path) -> None:
    with (split / "test.csv").open("a") as file:
        file.write(",i3,7\n")


def write_a_word_for_a_time(split: Path) -> None:
    with (split / "train.csv").open("a") as file:
        file.write("1,i3,yesterday\n")


def swap_the_learners(split: Path) -> None:
    pl.DataFrame({"user_id": ["nobody"], "item_id": ["i1"]}).write_csv(split / "test.csv")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda split: (split / "test.csv").unlink(), r"no .*test\.csv: a split folder holds train\.csv, test\.csv"),
        (lambda split: (split / "train.csv").write_text(""), r"train\.csv is empty"),
        (lambda split: (split / "users.csv").write_text("user_id\n"), r"users\.csv has a header and no row"),
        (drop_item_id, r"train\.csv lacks item_id; it has user_id, timestamp"),
        (blank_an_id, r"test\.csv: 1 of 61 rows lack user_id or item_id"),
        (write_a_word_for_a_time, r"timestamp must be Unix seconds, but 1 rows are not, such as 'yesterday'"),
        (swap_the_learners, r"no learner of test\.csv is in train\.csv"),
    ],
)
def test_a_broken_split_is_refused(split: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(split)
    with pytest.raises(InvalidInput, match=said):
        read_part(split)


def test_lists_lose_what_the_learner_knew_and_what_nobody_knows(split: Path, tmp_path: Path) -> None:
    part = read_part(split)
    user = part.user_ids[int(part.judged[0])]
    known = ids(part, part.known.part(0, 1).content.tolist())[0]
    fresh = [i for i in part.item_ids.to_list() if i not in ids(part, part.known.part(0, 1).content.tolist())][:3]
    rows: Rows = [(user, known, 1), (user, fresh[0], 2), (user, "elsewhere", 3), (user, fresh[1], 4)]
    rows += [(user, fresh[0], 5), (user, fresh[2], 6), ("stranger", fresh[0], 1)]

    lists = read_lists(lists_of(tmp_path / "lists.parquet", rows), part)

    assert ids(part, lists.index[0].tolist()) == fresh
    assert (lists.index[1:] == -1).all()
    assert lists.notes == (
        f"{NUM_LEARNERS - 1} of {NUM_LEARNERS} judged learners have no list: they score 0",
        "lists of 1 learners who are not judged were left out",
        "1 rows are on contents of neither part: they were taken out",
        "1 rows repeat a content in its list: the best rank counts",
        "1 rows are on contents that the learner met in training: they were taken out",
        "1 lists have fewer than 100 contents",
    )
    assert (lists.candidates, lists.score, lists.source) == (None, None, None)


def test_the_order_of_rows_and_the_type_of_ids_do_not_matter(split: Path, tmp_path: Path) -> None:
    part = read_part(split)
    path = write_lists(tmp_path / "lists.parquet", split)
    lists = read_lists(path, part)
    shuffled = pl.read_parquet(path).sample(fraction=1, shuffle=True, seed=1)
    shuffled.with_columns(pl.col("user_id").cast(pl.Int64)).write_parquet(path)
    again = read_lists(path, part)
    assert (again.index == lists.index).all()
    assert again.candidates is not None
    assert (again.candidates == lists.candidates).all()


def test_lists_that_lost_candidates_say_so(split: Path, tmp_path: Path) -> None:
    part = read_part(split)
    path = write_lists(tmp_path / "lists.parquet", split)
    assert not any("candidates" in note for note in read_lists(path, part).notes)
    pl.read_parquet(path).filter(pl.col("rank") <= 10).write_parquet(path)
    assert f"{NUM_LEARNERS} lists hold only some of their candidates: the candidate stage is judged on these" in (
        read_lists(path, part).notes
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [("1", "i1", 1), ("1", "i2", 1), ("2", "i1", 1)],
            "2 rows of 1 learners share a rank, such as rank 1 of learner 1",
        ),
        ([("x", "i1", 1)], "none of its 1 learners is judged"),
        ([], "has no row"),
    ],
)
def test_lists_that_order_nothing_are_refused(split: Path, tmp_path: Path, rows: Rows, said: str) -> None:
    path = lists_of(tmp_path / "lists.parquet", rows)
    with pytest.raises(InvalidInput, match=said):
        read_lists(path, read_part(split))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.drop("rank"), "lacks rank; it has user_id, item_id, score"),
        (lambda f: f.with_columns(score=pl.lit("high")), "score must be a number, but is String"),
        (lambda f: f.with_columns(source=pl.lit(None, pl.String)), "values are missing: 1200 of source"),
    ],
)
def test_columns_of_lists_are_checked(
    split: Path, tmp_path: Path, change: Callable[[pl.DataFrame], pl.DataFrame], said: str
) -> None:
    path = write_lists(tmp_path / "lists.parquet", split)
    change(pl.read_parquet(path)).write_parquet(path)
    with pytest.raises(InvalidInput, match=said):
        read_lists(path, read_part(split))


def test_no_parquet_is_said_to_be_none(split: Path, tmp_path: Path) -> None:
    part = read_part(split)
    with pytest.raises(InvalidInput, match="`learnrec evaluate offline` writes ranked lists"):
        read_lists(tmp_path / "none.parquet", part)
    (tmp_path / "text.parquet").write_text("user_id,item_id,rank\n")
    with pytest.raises(InvalidInput, match="is no Parquet file"):
        read_lists(tmp_path / "text.parquet", part)


def test_what_the_training_wrote_is_read_if_it_is_there(tmp_path: Path) -> None:
    lists = tmp_path / "mine.parquet"
    assert read_training(lists) is None
    (tmp_path / "mine.json").write_text(
        '{"importance": {"popularity": 3.5}, "metrics": {"auc": 0.9, "gap": null}, "x": 1}'
    )
    training = read_training(lists)
    assert training is not None
    assert (training.importance, training.metrics) == ({"popularity": 3.5}, {"auc": 0.9})
    (tmp_path / "mine.json").write_text('{"importance": [1]}')
    with pytest.raises(InvalidInput, match=r"mine\.json does not fit: importance: "):
        read_training(lists)
