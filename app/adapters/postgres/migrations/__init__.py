"""The schema, step by step: Alembic runs the scripts in `versions`, plain SQL each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from app.errors import Unavailable

_LOCK = 7_306_920_417
"""Advisory lock that one migrating process holds while others wait."""


def migrate(url: str) -> None:
    """Bring the database to the newest schema; again changes nothing, two at once take turns.

    Raises Unavailable: the server does not answer.
    """
    with schema_change(url) as schema:
        schema.make()


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """The schema within one transaction, and the rows: all of it is done when that ends well, or nothing."""

    rows: psycopg.Connection[Any]
    _config: Config

    def make(self, revision: str = "head") -> None:
        command.upgrade(self._config, revision)

    def remove(self) -> None:
        """Every table of ours, with its rows; nothing happens where there is none."""
        command.downgrade(self._config, "base")


@contextmanager
def schema_change(url: str) -> Iterator[SchemaChange]:
    """Two at once take turns. Raises Unavailable: the server does not answer."""
    driver = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(driver, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    config = _config()
    try:
        with engine.connect() as lock:
            lock.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
            with sqlalchemy.create_engine(driver, poolclass=NullPool).begin() as connection:
                config.attributes["connection"] = connection
                yield SchemaChange(cast("psycopg.Connection[Any]", connection.connection.driver_connection), config)
    except OperationalError as exc:
        raise Unavailable("postgresql", str(exc.orig)) from exc


def known_revisions() -> tuple[str, ...]:
    """Of the schema, newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
