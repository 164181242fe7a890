"""Generations are time stamps in milliseconds: on PostgreSQL they need eight bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0006_generations"
down_revision = "0005_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Widen the column; SQLite's integers are wide enough."""
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("apps", "generation", type_=sa.BigInteger(), existing_nullable=False)
