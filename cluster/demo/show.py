"""What the demonstration prints: tables that a newcomer understands."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from app.domain.releases import FULL, ITEM_KNN, POPULAR, RETRIEVAL
from cluster.demo.client import Contents, Person

SHOWN = 8
NAMES = {
    FULL: "two-tower + ranker (served)",
    RETRIEVAL: "candidates alone",
    POPULAR: "popular",
    ITEM_KNN: "item-kNN",
}


def show_history(console: Console, person: Person, contents: Contents) -> None:
    table = Table(
        "most recent first", "did", "tags", title=f"What learner {person.user_id} studied", title_justify="left"
    )
    for content_id, event_type in person.history[:SHOWN]:
        table.add_row(contents.title[content_id], event_type, _tags(contents, content_id))
    console.print(table)


def show_slate(console: Console, answer: Mapping[str, Any], contents: Contents) -> None:
    table = Table("#", "title", "type", "tags", "source", "score", title="What to study next", title_justify="left")
    for item in answer["items"]:
        tags, score = _tags(contents, item["content_id"]), f"{item['score']:.3f}"
        table.add_row(str(item["position"]), item["title"], item["type"], tags, item["source"], score)
    console.print(table)
    degraded = ", ".join(answer["degraded"]) or "nothing"
    console.print(
        f"release {answer['release']}, served by {answer['served_by']}, degraded: {degraded}, "
        f"{sum(answer['timings_ms'].values()):.0f} ms in the stages",
        highlight=False,
    )


def show_change(console: Console, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    table = Table("#", "before", "after", title="How the list changed", title_justify="left")
    old = {item["content_id"]: item["position"] for item in before["items"]}
    for past, present in zip(before["items"], after["items"], strict=False):
        was = old.get(present["content_id"])
        mark = "[green]new[/]" if was is None else "" if was == present["position"] else f"[dim]was {was}[/]"
        table.add_row(str(present["position"]), past["title"], f"{present['title']} {mark}")
    console.print(table)


def show_quality(console: Console, metrics: Mapping[str, Mapping[str, float]]) -> None:
    table = Table(
        "model", "NDCG@10", "Recall@10", title="On the hold-out: what learners met next", title_justify="left"
    )
    for name, values in metrics.items():
        table.add_row(NAMES.get(name, name), f"{values['ndcg@10']:.4f}", f"{values['recall@10']:.4f}")
    console.print(table)


def _tags(contents: Contents, content_id: str) -> str:
    return ", ".join(contents.tags.get(content_id, [])[:3])
