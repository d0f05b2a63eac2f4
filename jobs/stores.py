"""The stores as processes open them: which adapter stands behind each port, from the settings."""

from contextlib import AbstractContextManager

from app.adapters.keyring import load_keyring
from app.adapters.object_store import ObjectStore
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.settings import Settings


def warehouse(settings: Settings) -> AbstractContextManager[PostgresWarehouse]:
    """PostgreSQL in bulk. Raises Unavailable, and InvalidInput where there is no address."""
    return PostgresWarehouse(settings.need("postgres_url"), keyring=load_keyring(settings))


def objects(settings: Settings) -> ObjectStore:
    """The object store, reached through paths below its root."""
    return ObjectStore(settings.object_store_uri)
