"""The schema, step by step: Alembic runs the scripts in `versions`, plain SQL each."""

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from app.errors import Unavailable

_LOCK = 7_306_920_417
"""Advisory lock that one migrating process holds while others wait."""


def migrate(url: str) -> None:
    """Bring the database to the newest schema; again changes nothing, two at once take turns.

    Raises Unavailable: the server does not answer.
    """
    driver = sqlalchemy.make_url(url).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(driver, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    try:
        with engine.connect() as lock:
            lock.exec_driver_sql(f"SELECT pg_advisory_lock({_LOCK})")
            with sqlalchemy.create_engine(driver, poolclass=NullPool).begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    except OperationalError as exc:
        raise Unavailable("postgresql", str(exc.orig)) from exc
