"""Acknowledgements that hold until a time."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the time; those that are there hold for good."""
    op.add_column("acks", sa.Column("until", sa.BigInteger))
