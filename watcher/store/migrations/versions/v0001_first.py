"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Makes all tables."""
    _alerts()
    _jobs()
    _meta()
    _outbox()
    _proposals()
    _rule_states()
    _transitions()
    _observations()
    _routing()


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("seq", _ID, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("subject_kind", sa.String(16), nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("episode", sa.BigInteger, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger),
        sa.Column("step", sa.BigInteger),
        sa.Column("onset", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("notice", sa.Boolean, nullable=False),
        sa.Column("may_cancel", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_alerts"),
        sa.UniqueConstraint("id", name="uq_alerts_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alerts_starts_at", "alerts", ["starts_at"])
    op.create_index("ix_alerts_subject", "alerts", ["account", "job_id", "subject_kind", "rule", "kind", "episode"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("selection", sa.Text, nullable=False),
        sa.Column("snapshot", sa.Text, nullable=False),
        sa.Column("listed", sa.Text),
        sa.Column("created_at", sa.BigInteger),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.Column("first_running_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.Column("silent", sa.Boolean, nullable=False),
        sa.Column("keep", sa.Boolean, nullable=False),
        sa.Column("gone", sa.Boolean, nullable=False),
        sa.Column("health", sa.Text, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("saved_seq", sa.BigInteger, nullable=False),
        sa.Column("feed", sa.Text),
        sa.Column("detail_at", sa.BigInteger),
        sa.Column("updated_at", sa.BigInteger),
        sa.Column("successor", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("account", "job_id", name="uq_jobs_account_job_id"),
    )
    op.create_index("ix_jobs_job_id", "jobs", ["job_id"])
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["account"],
        sqlite_where=sa.text("closed = false"),
        postgresql_where=sa.text("closed = false"),
    )


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", _ID, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("effect", sa.String(16), nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("claimed_at", sa.BigInteger),
        sa.Column("done_at", sa.BigInteger),
        sa.Column("error", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("key", name="uq_outbox_key"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_lanes",
        "outbox",
        ["lane", "id"],
        sqlite_where=sa.text("done_at IS NULL"),
        postgresql_where=sa.text("done_at IS NULL"),
    )
    op.create_index("ix_outbox_state", "outbox", ["state", "next_at"])


def _proposals() -> None:
    op.create_table(
        "proposals",
        sa.Column("seq", _ID, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("alert_id", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("proposed_at", sa.BigInteger, nullable=False),
        sa.Column("step", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("deadline_at", sa.BigInteger),
        sa.Column("requested_at", sa.BigInteger),
        sa.Column("posted_at", sa.BigInteger),
        sa.Column("tries", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("detail", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_proposals"),
        sa.UniqueConstraint("id", name="uq_proposals_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_proposals_job", "proposals", ["account", "job_id"])
    op.create_index("ix_proposals_requested_at", "proposals", ["requested_at"])
    op.create_index(
        "uq_proposals_open",
        "proposals",
        ["account", "job_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('proposed', 'requested')"),
        postgresql_where=sa.text("state IN ('proposed', 'requested')"),
    )


def _rule_states() -> None:
    op.create_table(
        "rule_states",
        sa.Column("id", _ID, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("state", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_rule_states"),
        sa.UniqueConstraint("subject", "rule", name="uq_rule_states_subject_rule"),
    )


def _transitions() -> None:
    op.create_table(
        "transitions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("alert_id", sa.Text, nullable=False),
        sa.Column("alert", sa.Text, nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("facts", sa.Text),
        sa.Column("consumed_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_transitions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_transitions_alert_id", "transitions", ["alert_id"])
    op.create_index(
        "ix_transitions_unconsumed",
        "transitions",
        ["id"],
        sqlite_where=sa.text("consumed_at IS NULL"),
        postgresql_where=sa.text("consumed_at IS NULL"),
    )


def _observations() -> None:
    op.create_table(
        "observations",
        sa.Column("job", _ID, autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("step", sa.BigInteger),
        sa.Column("at_ns", sa.BigInteger),
        sa.Column("loss", sa.Double),
        sa.Column("grad_norm", sa.Double),
        sa.Column("lr", sa.Double),
        sa.Column("flags", sa.Integer, nullable=False),
        sa.Column("superseded", sa.Boolean, nullable=False),
        sa.Column("payload", sa.Text),
        sa.PrimaryKeyConstraint("job", "seq", name="pk_observations"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_observations_job_jobs"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_observations_rows",
        "observations",
        ["job", "step", "kind", "at_ns"],
        sqlite_where=sa.text("step IS NOT NULL"),
        postgresql_where=sa.text("step IS NOT NULL"),
    )


def _routing() -> None:
    op.create_table(
        "groups",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("flush_at", sa.BigInteger),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_groups"),
    )
    op.create_index("ix_groups_flush_at", "groups", ["flush_at"])
    op.create_table(
        "silences",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("ends_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_silences"),
    )
    op.create_index("ix_silences_ends_at", "silences", ["ends_at"])
    op.create_table(
        "acks",
        sa.Column("alert_id", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name="pk_acks"),
    )
    op.create_table(
        "decisions",
        sa.Column("id", _ID, nullable=False),
        sa.Column("alert_id", sa.Text, nullable=False),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("outbox_key", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_decisions_alert", "decisions", ["alert_id", "id"])
