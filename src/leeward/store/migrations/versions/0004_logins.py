"""Logins at foreign registries."""

import sqlalchemy as sa
from alembic import op

revision = "0004_logins"
down_revision = "0003_images"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "logins",
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("host"),
    )
