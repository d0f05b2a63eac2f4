"""The stores as processes open them: which adapter stands behind each port, from the settings."""

from contextlib import AbstractContextManager

from app.adapters.object_store import ObjectStore
from app.adapters.postgres.warehouse import PostgresWarehouse
from app.adapters.redis_log import RedisEventLog
from app.settings import Settings


def warehouse(settings: Settings) -> AbstractContextManager[PostgresWarehouse]:
    """PostgreSQL in bulk. Raises Unavailable, and InvalidInput where there is no address."""
    return PostgresWarehouse(settings.need("postgres_url"))


def event_log(settings: Settings) -> AbstractContextManager[RedisEventLog]:
    """The log of events. Raises InvalidInput where there is no address."""
    return RedisEventLog(settings.need("redis_url"))


def objects(settings: Settings) -> ObjectStore:
    """The object store, reached through paths below its root."""
    return ObjectStore(settings.object_store_uri)
