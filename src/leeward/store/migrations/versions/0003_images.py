"""What is in the images of releases, and what is known of their bases."""

import sqlalchemy as sa
from alembic import op

revision = "0003_images"
down_revision = "0002_regions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("arch", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["app", "number"], ["releases.app", "releases.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app", "number"),
    )
    op.create_table(
        "image_layers",
        sa.Column("app", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["app", "number"], ["images.app", "images.number"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app", "number", "place"),
    )
    op.create_index("image_layers_by_layer", "image_layers", ["layer"], unique=False)
    op.create_table(
        "layers",
        sa.Column("layer", sa.Text(), nullable=False),
        sa.Column("packages", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("layer"),
    )
    op.create_table(
        "packages",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("layer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["layer"], ["layers.layer"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name", "layer"),
    )
    op.create_index("packages_by_layer", "packages", ["layer"], unique=False)
    op.create_table(
        "bases",
        sa.Column("flavour", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("former", sa.Text(), nullable=False),
        sa.Column("newer", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("flavour"),
    )
