"""Acknowledgements that hold until a time; what polls write, on fewer pages."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_SAME = "job, seq, kind, step, at_ns, loss, grad_norm, lr, flags, superseded, payload"


def upgrade() -> None:
    """Adds the time (those that are there hold for good); observations lie in order of arrival, jobs can be moved."""
    op.add_column("acks", sa.Column("until", sa.BigInteger))
    op.drop_index("ix_observations_rows", "observations")
    op.rename_table("observations", "sorted")
    _tables()
    op.execute(f"INSERT INTO observations ({_SAME}) SELECT {_SAME} FROM sorted ORDER BY job, seq")  # noqa: S608
    op.drop_table("sorted")
    # Only what is full: the next row belongs to the last span.
    op.execute(
        "INSERT INTO spans SELECT job, seq / 128, max(step) FROM observations AS o "
        "WHERE seq / 128 < (SELECT (max(seq) + 1) / 128 FROM observations WHERE job = o.job) "
        "GROUP BY job, seq / 128 HAVING max(step) IS NOT NULL"
    )


def _tables() -> None:
    op.create_table(
        "observations",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job", _ID, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("step", sa.BigInteger),
        sa.Column("at_ns", sa.BigInteger),
        sa.Column("loss", sa.Double),
        sa.Column("grad_norm", sa.Double),
        sa.Column("lr", sa.Double),
        sa.Column("flags", sa.Integer, nullable=False),
        sa.Column("superseded", sa.Boolean, nullable=False),
        sa.Column("payload", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_observations"),
        sa.UniqueConstraint("job", "seq", name="uq_observations_job_seq"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_observations_job_jobs"),
    )
    op.create_table(
        "spans",
        sa.Column("job", _ID, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("high", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("job", "number", name="pk_spans"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_spans_job_jobs"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "moves",
        sa.Column("job", _ID, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("moved", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_moves"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_moves_job_jobs"),
    )
