"""`learnrec privacy`: pseudonyms, receipts of erasures, the audit log."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from app.settings import load_settings
from cluster.cli.tables import for_tables

privacy_app = typer.Typer(help="Pseudonyms, receipts of erasures, the audit log.", no_args_is_help=True)
audit_app = typer.Typer(help="What administrators did and learners asked for.", no_args_is_help=True)
privacy_app.add_typer(audit_app, name="audit")


@privacy_app.command()
def pseudonym(
    user_ids: Annotated[list[str], typer.Argument(help="Learners' ids.")],
    every: Annotated[bool, typer.Option("--all-keys", help="Under the keys before, too.")] = False,
) -> None:
    """What learners are called in Parquet, releases and logs."""
    from app.adapters.keyring import load_keyring
    from app.domain.ids import canonical_id

    ring = load_keyring(load_settings())
    for user_id in user_ids:
        for key in ring.keys if every else ring.keys[:1]:
            typer.echo(f"{user_id}\t{key.of(canonical_id(user_id))}\tkey {key.name}")


@privacy_app.command()
def verify(
    receipt: Annotated[Path, typer.Argument(help="File with the receipt, or the answer that it came in; - for stdin.")],
    key: Annotated[Path | None, typer.Option(help="Public key (PEM); default: this installation's own.")] = None,
    user_id: Annotated[str | None, typer.Option("--user", help="Check that it is about this learner.")] = None,
) -> None:
    """Check the receipt of an erasure, and show what it says."""
    from app.adapters.keyring import load_keyring
    from app.adapters.receipts import Receipts, verified
    from app.domain.ids import canonical_id
    from app.errors import Conflict

    settings = load_settings()
    public = key.read_text() if key else Receipts(settings).public_pem
    facts = verified(_receipt_in(sys.stdin.read() if str(receipt) == "-" else receipt.read_text()), public)
    if user_id is not None:
        known = {one.of(canonical_id(user_id)) for one in load_keyring(settings).keys}
        if facts["learner"] not in known:
            raise Conflict(f"the receipt is genuine, but about another learner ({facts['learner']})")
    typer.echo("genuine: nothing was changed since it was signed")
    table = Table("what", "", box=None, pad_edge=False)
    for name, value in facts.items():
        shown = ", ".join(f"{k} {v:,}" for k, v in value.items()) if isinstance(value, dict) else value
        table.add_row(name, ", ".join(shown) if isinstance(shown, list) else str(shown))
    for_tables().print(table)


@privacy_app.command("public-key")
def public_key() -> None:
    """The key that checks receipts, for whoever gets some."""
    from app.adapters.receipts import Receipts

    typer.echo(Receipts(load_settings()).public_pem, nl=False)


@privacy_app.command()
def rotate() -> None:
    """A new key for pseudonyms, in VAR/keys; what is in Parquet goes by it afterwards.

    Where LEARNREC_PSEUDONYM_KEYS holds the keys, put a new one first there, restart the service, and run this.
    """
    from app.adapters.keyring import add_key, load_keyring
    from jobs.runner import run_and_show

    settings = load_settings()
    load_keyring(settings)
    if settings.pseudonym_keys is None:
        add_key(settings.pseudonym_keys_path)
    run_and_show("rotate_pseudonyms", settings)
    typer.echo("the service takes it up when it starts again; keep the old keys while releases go by them")


@audit_app.command("list")
def list_(limit: Annotated[int, typer.Option(min=1, help="The newest so many; all are checked.")] = 50) -> None:
    """The newest entries, after all of them were checked."""
    from app.adapters.postgres.audit import PostgresAudit

    entries = PostgresAudit(load_settings().need("postgres_url")).entries()
    table = Table("entry", "at", "role", "actor", "action", "object", box=None, pad_edge=False)
    for entry in entries[-limit:]:
        table.add_row(str(entry.seq), f"{entry.at:%F %T}", entry.role, entry.actor, entry.action, entry.object)
    for_tables().print(table)
    typer.echo(f"{len(entries):,} entries, none changed")


@audit_app.command("verify")
def verify_audit() -> None:
    """Check that no entry was changed, added otherwise or taken out."""
    from app.adapters.postgres.audit import PostgresAudit

    typer.echo(f"{len(PostgresAudit(load_settings().need('postgres_url')).entries()):,} entries, none changed")


def _receipt_in(text: str) -> str:
    """The receipt itself, alone or in the JSON that the service answers. Raises InvalidInput."""
    import json

    from app.errors import InvalidInput

    text = text.strip()
    if not text.startswith("{"):
        return text
    try:
        found = json.loads(text).get("receipt")
    except json.JSONDecodeError as exc:
        raise InvalidInput(f"neither a receipt nor an answer that has one: {exc}") from exc
    if not isinstance(found, str):
        raise InvalidInput("the answer has no receipt yet: ask GET /users/{user_id}/erasure again")
    return found
