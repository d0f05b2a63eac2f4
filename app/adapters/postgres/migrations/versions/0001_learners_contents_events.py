"""Learners, contents, events partitioned by month, and what each learner has completed."""

from alembic import op

revision = "0001"
down_revision = None

SCHEMA = """
CREATE TABLE users (
    user_id uuid PRIMARY KEY,
    external_id text NOT NULL,
    cohort_tag text,
    created_at timestamptz NOT NULL,
    last_active_at timestamptz,
    opted_out_at timestamptz
);

CREATE TABLE contents (
    content_id uuid PRIMARY KEY,
    external_id text NOT NULL,
    title text NOT NULL,
    type text NOT NULL CHECK (type IN ('video', 'article', 'quiz')),
    tags text[] NOT NULL DEFAULT '{}',
    difficulty smallint CHECK (difficulty BETWEEN 1 AND 5),
    created_at timestamptz NOT NULL
);

-- No foreign keys: they would make each event wait for two lookups and contents impossible to withdraw.
CREATE TABLE events (
    event_id uuid NOT NULL,
    user_id uuid NOT NULL,
    content_id uuid NOT NULL,
    event_type text NOT NULL CHECK (event_type IN ('view', 'complete', 'like', 'quiz_score')),
    value double precision,
    ts timestamptz NOT NULL,
    PRIMARY KEY (event_id, ts)
) PARTITION BY RANGE (ts);
CREATE INDEX events_by_user ON events (user_id, ts DESC);
CREATE INDEX events_by_content ON events (content_id, ts DESC);

-- Written with the events, and kept when their months are dropped: what was completed is never recommended again.
CREATE TABLE completions (
    user_id uuid NOT NULL,
    content_id uuid NOT NULL,
    completed_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, content_id)
);
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute("DROP TABLE completions, events, contents, users")
