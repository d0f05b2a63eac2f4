"""The demonstration, step by step."""

import json
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from app.adapters.mlflow_registry import MlflowRegistry
from app.domain.releases import FULL, ITEM_KNN, POPULAR, PRODUCTION, RETRIEVAL
from app.errors import InvalidInput
from app.settings import Settings, load_settings
from cluster.demo.client import Client, choose_person, read_contents
from cluster.demo.commands import Commands
from cluster.demo.show import show_change, show_history, show_quality, show_slate
from cluster.stack.signals import terminable, uninterrupted

GENERATED = "generated"
MARKS = {"mars": "implicit_ratings_en.csv.gz", "movielens": "interactions.csv.gz"}
"""The file by which a folder's format is known."""


def run_demo(console: Console, *, root: Path, data: Path | None = None) -> Path:
    """Everything in `root/demo/NAME`, an embedded stack of its own; returns the report, `root/demo.json`."""
    name = data.resolve().name if data else GENERATED
    var_dir = (root / "demo" / name).resolve()
    taking = _import(data) if data else _generate(var_dir)
    commands = Commands(var_dir, console)
    try:
        with terminable():
            commands.run("start", "up", "--no-serve")
            commands.run("data", *taking)
            commands.run("train", "job", "run", "pipeline", "--set", "promote=true")
            commands.run("serve", "up")
            report = _as_client(console, load_settings(var_dir=var_dir))
    finally:
        with uninterrupted():
            commands.run("stop", "down")
    path = root / "demo.json"
    path.write_text(json.dumps({**report, "seconds": commands.seconds}, indent=2, ensure_ascii=False))
    _say_what_next(console, path, var_dir)
    return path


def _as_client(console: Console, settings: Settings) -> dict[str, object]:
    contents, person = read_contents(settings), choose_person(settings)
    client = Client(settings, person.user_id)
    client.wait_until_ready()
    console.print()
    show_history(console, person, contents)
    answer = client.recommend()
    show_slate(console, answer, contents)
    done = answer["items"][0]
    console.print(f"\nThe learner completes [bold]{done['title']}[/]: POST /events", highlight=False)
    client.complete(done["content_id"])
    show_change(console, answer, client.recommend())
    client.close()
    metrics = _metrics(settings)
    show_quality(console, metrics)
    return {"response": answer, "metrics": metrics}


def _metrics(settings: Settings) -> dict[str, dict[str, float]]:
    """Of the release in production, judged on the hold-out before it was published."""
    registry = MlflowRegistry(settings.need("mlflow_uri"))
    release = registry.aliased(PRODUCTION)
    manifest = next(m for m in registry.manifests() if m.release_id == release)
    wanted = [name for name in (FULL, RETRIEVAL, ITEM_KNN, POPULAR) if name in manifest.metrics]
    return {name: {k: manifest.metrics[name][k] for k in ("ndcg@10", "recall@10")} for name in wanted}


def _generate(var_dir: Path) -> tuple[str, ...]:
    """The same world on every run: it ends on the day on which it was first made."""
    mark = var_dir / "world-end"
    if not mark.exists():
        var_dir.mkdir(parents=True, exist_ok=True)
        mark.write_text(datetime.now(UTC).strftime("%Y-%m-%d"))
    return ("data", "generate", "--learners", "2000", "--contents", "1000", "--seed", "7", "--end", mark.read_text())


def _import(data: Path) -> tuple[str, ...]:
    for format_, file in MARKS.items():
        if (data / file).exists():
            return ("data", "import", str(data), "--format", format_)
    raise InvalidInput(
        f"{data} is no data set that the demonstration knows: give a folder with {' or '.join(MARKS.values())}, "
        "or import other formats with `learnrec data import`"
    )


def _say_what_next(console: Console, report: Path, var_dir: Path) -> None:
    console.print(f"\nWritten: {report}. Everything is stopped; the data stays in {var_dir}.", highlight=False)
    console.print(
        f"Next: [bold]export LEARNREC_VAR_DIR={var_dir}[/], then [bold]learnrec up[/], [bold]learnrec status[/], "
        "[bold]learnrec recommend USER[/], [bold]learnrec release list[/]; "
        "and [bold]learnrec data import --help[/] for your own data.",
        highlight=False,
        soft_wrap=True,
    )
