"""psycopg's errors, translated once."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg_pool import PoolTimeout, TooManyRequests

from app.errors import DeadlineExceeded, InvalidInput, Unavailable

DEPENDENCY = "postgresql"


@contextmanager
def translated() -> Iterator[None]:
    """Around every statement. A wrong statement is a fault of ours and passes through untranslated."""
    try:
        yield
    except (psycopg.errors.QueryCanceled, PoolTimeout) as exc:
        raise DeadlineExceeded(DEPENDENCY, str(exc).strip()) from exc
    except (psycopg.OperationalError, psycopg.InterfaceError, TooManyRequests) as exc:
        raise Unavailable(DEPENDENCY, str(exc).strip() or type(exc).__name__) from exc
    except (psycopg.DataError, psycopg.IntegrityError) as exc:
        raise InvalidInput(f"PostgreSQL refuses the rows: {str(exc).strip()}") from exc
