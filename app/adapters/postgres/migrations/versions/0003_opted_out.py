"""Who opted out is asked for every second, and few they are."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("CREATE INDEX users_opted_out ON users (opted_out_at) WHERE opted_out_at IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX users_opted_out")
