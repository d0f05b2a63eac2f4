"""Who opted out, who was erased, and a record of what administrators and learners asked for that only grows."""

from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = """
-- Asked for every second, and few they are.
CREATE INDEX users_opted_out ON users (opted_out_at) WHERE opted_out_at IS NOT NULL;

-- A tombstone: events of this learner that come late, or again from the log, are dropped.
CREATE TABLE erasures (
    learner uuid PRIMARY KEY,          -- pseudonym
    key_name text NOT NULL,            -- of its key
    user_id uuid,                      -- whom to erase; gone when that is done
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    lifted_at timestamptz,             -- the learner came back: what is later than this is kept again
    removed jsonb NOT NULL DEFAULT '{}',
    receipt text
);
CREATE INDEX erasures_unfinished ON erasures (requested_at) WHERE finished_at IS NULL;

-- hash = SHA-256 of the previous row's hash and of this row: nothing can be changed or taken out unseen.
CREATE TABLE audit (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    role text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    hash bytea NOT NULL
);
CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log only grows';
END $$;
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute("DROP TABLE audit, erasures; DROP FUNCTION audit_only_grows; DROP INDEX users_opted_out")
