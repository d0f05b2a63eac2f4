"""What the schedule started, and how it ended."""

from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = """
CREATE TABLE schedule_runs (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entry text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text CHECK (outcome IN ('succeeded', 'failed', 'skipped', 'interrupted')),
    message text NOT NULL DEFAULT ''
);
CREATE INDEX schedule_runs_by_entry ON schedule_runs (entry, started_at DESC);
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute("DROP TABLE schedule_runs")
