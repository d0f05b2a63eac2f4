"""The history of scheduled runs, in PostgreSQL: it outlives the scheduler and the cluster."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row

from app.adapters.postgres.errors import translated

Outcome = Literal["succeeded", "failed", "skipped", "interrupted"]
KEPT = "1 year"


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """One time that an entry of the schedule was due; without an end it is under way, or its scheduler was killed."""

    run_id: int
    entry: str
    started_at: datetime
    ended_at: datetime | None
    outcome: Outcome | None
    message: str


class PostgresScheduleRuns:
    """A connection a call: hours pass between two. All raise Unavailable."""

    def __init__(self, url: str) -> None:
        self._url = url

    def begin(self, entry: str) -> int:
        """The id of a run that starts now."""
        (run_id,) = self._rows("INSERT INTO schedule_runs (entry) VALUES (%s) RETURNING run_id", entry)[0]
        return int(run_id)

    def end(self, run_id: int, outcome: Outcome, message: str = "") -> None:
        """Once and for all; what is older than KEPT goes."""
        self._rows(
            "WITH old AS (DELETE FROM schedule_runs WHERE started_at < now() - %s::interval)"
            " UPDATE schedule_runs SET ended_at = now(), outcome = %s, message = %s WHERE run_id = %s RETURNING run_id",
            KEPT,
            outcome,
            message,
            run_id,
        )

    def skip(self, entry: str, why: str) -> None:
        """The entry was due, and was not started."""
        self.end(self.begin(entry), "skipped", why)

    def close_abandoned(self) -> int:
        """How many runs had no end, as their scheduler was killed: they are interrupted ones from now on."""
        closed = self._rows(
            "UPDATE schedule_runs SET ended_at = now(), outcome = 'interrupted', message = 'the scheduler was killed'"
            " WHERE outcome IS NULL RETURNING run_id"
        )
        return len(closed)

    def last_of_each(self) -> dict[str, ScheduleRun]:
        """The last run of every entry that was not skipped."""
        found = self._runs(
            "SELECT DISTINCT ON (entry) * FROM schedule_runs WHERE outcome IS DISTINCT FROM 'skipped'"
            " ORDER BY entry, run_id DESC"
        )
        return {run.entry: run for run in found}

    def latest(self, limit: int) -> list[ScheduleRun]:
        """Newest first."""
        return self._runs("SELECT * FROM schedule_runs ORDER BY run_id DESC LIMIT %s", limit)

    def _runs(self, query: str, *values: Any) -> list[ScheduleRun]:
        with translated(), self._connection() as connection:
            return connection.cursor(row_factory=class_row(ScheduleRun)).execute(query.encode(), values).fetchall()

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        with translated(), self._connection() as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def _connection(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._url, autocommit=True, options="-c timezone=UTC", application_name="learnrec")
