"""`learnrec release`: which releases exist, and which one is live."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.domain.releases import PRODUCTION, STAGING, Manifest
from app.settings import load_settings

release_app = typer.Typer(help="List, promote and roll back releases.", no_args_is_help=True)

HEADLINE, SYSTEM, BASELINE = "ndcg@10", "two_tower_ranker", "popular"


@release_app.command("list")
def list_() -> None:
    """Every release, newest first, with its aliases and its ndcg@10 on the hold-out."""
    from jobs.releases import registry

    with registry(load_settings()) as known:
        manifests = known.manifests()
        aliases = {alias: known.aliased(alias) for alias in (PRODUCTION, STAGING)}
    if not manifests:
        typer.echo("no release yet: `learnrec job run pipeline` makes one")
        return
    table = Table(
        "release", "made (UTC)", "contents", "learners", HEADLINE, "popular", "alias", box=None, pad_edge=False
    )
    for manifest in manifests:
        under = ", ".join(alias for alias, release_id in aliases.items() if release_id == manifest.release_id)
        table.add_row(
            manifest.release_id,
            manifest.created_at[:19].replace("T", " "),
            f"{manifest.num_contents:,}",
            f"{manifest.num_learners:,}",
            *(_headline(manifest, model) for model in (SYSTEM, BASELINE)),
            f"[green]{under}[/]" if under else "",
        )
    Console(soft_wrap=True).print(table)


@release_app.command()
def show(release_id: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")]) -> None:
    """The whole manifest of a release, as JSON."""
    from jobs.releases import find_release, registry

    with registry(load_settings()) as known:
        typer.echo(find_release(known, release_id).model_dump_json(indent=2))


@release_app.command()
def promote(
    release_id: Annotated[
        str | None, typer.Argument(help="Its id, or the beginning of it; without: the staged one.")
    ] = None,
) -> None:
    """Make a release live: running replicas take it within seconds."""
    from jobs import releases

    _tell("promoted", releases.promote(load_settings(), release_id))


@release_app.command()
def rollback() -> None:
    """Make the release live that was so before. Again brings the present one back."""
    from jobs import releases

    _tell("rolled back to", releases.rollback(load_settings()))


def _headline(manifest: Manifest, model: str) -> str:
    value = manifest.metrics.get(model, {}).get(HEADLINE)
    return "" if value is None else f"{value:.4f}"


def _tell(done: str, manifest: Manifest) -> None:
    typer.echo(f"{done} {manifest.release_id}: {PRODUCTION} since now, collection {manifest.collection}")
