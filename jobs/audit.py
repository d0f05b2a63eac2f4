"""What somebody with a shell does to what is live, in the audit log."""

import getpass
import socket
import sys

from app.adapters.postgres.audit import PostgresAudit
from app.errors import Unavailable
from app.settings import Settings

ROLE = "operator"


def note(settings: Settings, action: str, object_: str) -> None:
    """Before it is done. Where PostgreSQL is away it is told and done all the same: a rollback cannot wait."""
    if settings.postgres_url is None:
        return
    actor = f"{getpass.getuser()}@{socket.gethostname()}"
    try:
        PostgresAudit(settings.postgres_url).add(actor=actor, role=ROLE, action=action, object_=object_)
    except Unavailable as exc:
        sys.stderr.write(f"not in the audit log: {action} of {object_} by {actor}: {exc}\n")
