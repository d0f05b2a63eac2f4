"""A small split folder and lists for it, with every column and with known faults."""

from pathlib import Path

import numpy as np
import polars as pl

NUM_LEARNERS, NUM_ITEMS = 60, 40


def write_split(folder: Path, *, timed: bool = True, seed: int = 0) -> Path:
    """Two groups of learners who keep to their half of the items, mostly in order; the last one is the test part."""
    rng = np.random.default_rng(seed)
    rows = []
    for learner in range(NUM_LEARNERS):
        half = NUM_ITEMS // 2
        start, length = int(rng.integers(half)), int(rng.integers(4, 12))
        items = (start + np.arange(length)) % half + half * (learner % 2)
        rows += [(str(learner), f"i{item}", 1_000_000 + 86_400 * place + learner) for place, item in enumerate(items)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    last = events["user_id"] != events["user_id"].shift(-1).fill_null("")
    columns = ["user_id", "item_id", "timestamp"] if timed else ["user_id", "item_id"]
    folder.mkdir(parents=True, exist_ok=True)
    events.filter(~last).select(columns).write_csv(folder / "train.csv")
    events.filter(last).select(columns).write_csv(folder / "test.csv")
    events.select("user_id").unique(maintain_order=True).write_csv(folder / "users.csv")
    return folder


def write_lists(path: Path, split: Path, *, seed: int = 1) -> Path:
    """All items of every learner's own half in random order, half of the time with the test item on top."""
    rng = np.random.default_rng(seed)
    wanted = dict(pl.read_csv(split / "test.csv", infer_schema=False).select("user_id", "item_id").rows())
    frames = []
    for learner, item in wanted.items():
        half = NUM_ITEMS // 2
        items = [f"i{i}" for i in rng.permutation(half) + half * (int(learner) % 2)]
        if rng.random() < 0.5:
            items.insert(0, items.pop(items.index(item)))
        frames.append(
            pl.DataFrame(
                {
                    "user_id": [learner] * half,
                    "item_id": items,
                    "rank": np.arange(1, half + 1, dtype=np.int32),
                    "score": np.linspace(0.9, 0.05, half).astype(np.float32),
                    "source": rng.choice(["two_tower", "next"], half),
                    "candidate_rank": rng.permutation(half).astype(np.int32) + 1,
                }
            )
        )
    pl.concat(frames).write_parquet(path)
    return path


def write_items(path: Path) -> Path:
    """A genre for each quarter of the items."""
    rows = [(f"i{i}", f"Item {i}", f"genre {i // 10}|all") for i in range(NUM_ITEMS)]
    pl.DataFrame(rows, schema=["item_id", "title", "genres"], orient="row").write_csv(path)
    return path
