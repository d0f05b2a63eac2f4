"""`learnrec release`: which releases exist, and which one is live."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.domain.releases import CANDIDATE, FULL, POPULAR, PRODUCTION, STAGING, Manifest, Trial
from app.errors import InvalidInput
from app.policy.promotion import HEADLINE
from app.settings import load_settings

release_app = typer.Typer(help="List, promote and roll back releases.", no_args_is_help=True)


@release_app.command("list")
def list_() -> None:
    """Every release, newest first, with its aliases and its ndcg@10 on the hold-out."""
    from jobs.releases import registry

    with registry(load_settings()) as known:
        manifests = known.manifests()
        aliases = {alias: known.aliased(alias) for alias in (PRODUCTION, STAGING, CANDIDATE)}
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
            *(_headline(manifest, model) for model in (FULL, POPULAR)),
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
    force: Annotated[bool, typer.Option("--force", help="Also where it falls short of the live one.")] = False,
) -> None:
    """Make a release live: running replicas take it within seconds.

    Refused where its hold-out's ndcg@10 or its answers to a few learners fall short of the live release's.
    """
    from jobs import releases

    _tell("promoted", releases.promote(load_settings(), release_id, force=force))


@release_app.command()
def trial(
    release_id: Annotated[str | None, typer.Argument(help="Its id, or the beginning of it.")] = None,
    shadow: Annotated[
        float, typer.Option(help="Share of requests that it answers too, unseen: differences are in /metrics.")
    ] = 0.0,
    canary: Annotated[float, typer.Option(help="Share of learners who get its answers.")] = 0.0,
    end: Annotated[bool, typer.Option("--end", help="End the trial that runs.")] = False,
) -> None:
    """Put a release on trial beside the live one; it is withdrawn by itself where it fails or leaves slates empty."""
    from jobs import releases

    if end:
        ended = releases.end_trial(load_settings())
        typer.echo(f"the trial of {ended.release_id} has ended" if ended else "no release is on trial")
        return
    if release_id is None or not (0 <= shadow <= 1 and 0 <= canary <= 1 and shadow + canary > 0):
        raise InvalidInput("name a release, and --shadow or --canary above 0, at most 1; or --end")
    made = releases.put_on_trial(load_settings(), Trial(release_id=release_id, shadow=shadow, canary=canary))
    typer.echo(
        f"{made.release_id} is on trial: {shadow:.1%} of requests in its shadow, {canary:.1%} of learners get it"
    )


@release_app.command()
def rollback() -> None:
    """Make the release live that was so before. Again brings the present one back."""
    from jobs import releases

    _tell("rolled back to", releases.rollback(load_settings()))


@release_app.command("rebuild-index")
def rebuild_index_(
    missing: Annotated[bool, typer.Option("--missing", help="Only collections that Milvus has not.")] = False,
) -> None:
    """Make Milvus's collections again, of the releases that are live, staged or on trial, from their files.

    While a collection is made anew the service answers from its FAISS index of the same vectors.
    """
    from jobs.rebuild_index import rebuild_index

    made = rebuild_index(load_settings(), only_missing=missing, tell=lambda one: typer.echo(f"{one.collection} …"))
    for manifest in made:
        typer.echo(f"{manifest.collection}: {manifest.num_contents:,} contents, of release {manifest.release_id}")
    typer.echo(f"{len(made)} collections made" if made else "Milvus has them all")


def _headline(manifest: Manifest, model: str) -> str:
    value = manifest.metrics.get(model, {}).get(HEADLINE)
    return "" if value is None else f"{value:.4f}"


def _tell(done: str, manifest: Manifest) -> None:
    typer.echo(f"{done} {manifest.release_id}: {PRODUCTION} since now, collection {manifest.collection}")
