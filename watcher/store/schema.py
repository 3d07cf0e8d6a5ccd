"""The tables. A change here is a new revision in `migrations/versions`; a test compares the two.

Times are integer microseconds since 1970 UTC: they keep order and exactness on SQLite and on PostgreSQL alike. JSON is
text, because nothing is ever asked of its inside. Integers are 64 bits wide.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    select,
    text,
)

from watcher.service.records import Topic

REVISIONS = ("0001", "0002", "0003")
"""Every revision that this version knows, oldest first; the last one is what `metadata` describes."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only for a column declared INTEGER, which is 64 bits wide there.
Id = BigInteger().with_variant(Integer, "sqlite")
Micros = BigInteger

# Literal text, not parameters: SQLite uses a partial index only when it can see at once that the condition holds.
OPEN_EFFECT = text("done_at IS NULL")
OPEN_PROPOSAL = text("state IN ('proposed', 'requested')")
UNCONSUMED = text("consumed_at IS NULL")
NOT_CLOSED = text("closed = false")

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("account", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("selection", Text, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("listed", Text),
    Column("created_at", Micros),
    Column("first_seen_at", Micros, nullable=False),
    Column("first_running_at", Micros),
    Column("ended_at", Micros),
    Column("closed", Boolean, nullable=False),
    Column("silent", Boolean, nullable=False),
    Column("keep", Boolean, nullable=False),
    Column("gone", Boolean, nullable=False),
    Column("health", Text, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("saved_seq", BigInteger, nullable=False),
    Column("feed", Text),
    Column("detail_at", Micros),
    Column("updated_at", Micros),
    Column("successor", Text),
    UniqueConstraint("account", "job_id"),
    Index("ix_jobs_job_id", "job_id"),
    Index("ix_jobs_open", "account", sqlite_where=NOT_CLOSED, postgresql_where=NOT_CLOSED),
)

# What rows alone changed of a job since it was saved whole: there until it is saved whole again. It stands apart from
# `jobs`, since there a job takes more than a page, and here some jobs share one.
moves = Table(
    "moves",
    metadata,
    Column("job", Id, ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("updated_at", Micros, nullable=False),
    Column("moved", Text, nullable=False),
)

# `step` and `at_ns` are those of train and eval rows; all else is in `payload`. `flags` tells what a number was that
# SQLite can't hold (see `series.py`). Rows lie in order of arrival, so that the polls of many jobs share pages: sorted
# by job, ten rows of one changed 6.1 pages, three of them to make room between its neighbours; so it is 2.2.
observations = Table(
    "observations",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job", Id, ForeignKey("jobs.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("step", BigInteger),
    Column("at_ns", BigInteger),
    Column("loss", Double),
    Column("grad_norm", Double),
    Column("lr", Double),
    Column("flags", Integer, nullable=False),
    Column("superseded", Boolean, nullable=False),
    Column("payload", Text),
    UniqueConstraint("job", "seq"),
)

SPAN = 128
"""Numbers of observations in a span."""

# The highest step in each full span of a job: where to look for steps, without a page of an index that every poll
# changes. Span n holds the numbers from n * SPAN on; one without rows is left out.
spans = Table(
    "spans",
    metadata,
    Column("job", Id, ForeignKey("jobs.id"), primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("high", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


def unspanned(job: ColumnElement[int]) -> ColumnElement[int]:
    """The first number of a job that no span holds yet."""
    last = select(func.max(spans.c.number)).where(spans.c.job == job).scalar_subquery()
    return func.coalesce(last + 1, 0) * SPAN


rule_states = Table(
    "rule_states",
    metadata,
    Column("id", Id, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", Text),
    UniqueConstraint("subject", "rule"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("seq", Id, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("subject_kind", String(16), nullable=False),
    Column("account", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("episode", BigInteger, nullable=False),
    Column("starts_at", Micros, nullable=False),
    Column("ends_at", Micros),
    Column("step", BigInteger),
    Column("onset", BigInteger),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("notice", Boolean, nullable=False),
    Column("may_cancel", Boolean, nullable=False),
    Index("ix_alerts_subject", "account", "job_id", "subject_kind", "rule", "kind", "episode"),
    Index("ix_alerts_starts_at", "starts_at"),
    sqlite_autoincrement=True,
)

# `alert` is the alert as it was then, whole: the row in `alerts` goes on changing.
transitions = Table(
    "transitions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("alert_id", Text, nullable=False),
    Column("alert", Text, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("at", Micros, nullable=False),
    Column("note", Text, nullable=False),
    Column("facts", Text),
    Column("consumed_at", Micros),
    Index("ix_transitions_alert_id", "alert_id"),
    Index("ix_transitions_unconsumed", "id", sqlite_where=UNCONSUMED, postgresql_where=UNCONSUMED),
    sqlite_autoincrement=True,
)

# `done_at` is set in the states done and dead, and only there.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("effect", String(16), nullable=False),
    Column("lane", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("payload", Text),
    Column("state", String(16), nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("created_at", Micros, nullable=False),
    Column("next_at", Micros, nullable=False),
    Column("claimed_at", Micros),
    Column("done_at", Micros),
    Column("error", Text, nullable=False),
    Index("ix_outbox_lanes", "lane", "id", sqlite_where=OPEN_EFFECT, postgresql_where=OPEN_EFFECT),
    Index("ix_outbox_state", "state", "next_at"),
    sqlite_autoincrement=True,
)

proposals = Table(
    "proposals",
    metadata,
    Column("seq", Id, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("account", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("alert_id", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("proposed_at", Micros, nullable=False),
    Column("step", BigInteger),
    Column("reason", Text, nullable=False),
    Column("deadline_at", Micros),
    Column("requested_at", Micros),
    Column("posted_at", Micros),
    Column("tries", BigInteger, nullable=False),
    Column("ended_at", Micros),
    Column("detail", Text, nullable=False),
    Column("veto_window", BigInteger),
    Column("round", BigInteger),
    Column("announced_at", Micros),
    Column("frozen_at", Micros),
    Column("approved_at", Micros),
    Index("ix_proposals_job", "account", "job_id"),
    Index("ix_proposals_requested_at", "requested_at"),
    # At most one cancel of a job is ever under way, whatever the program believes.
    Index(
        "uq_proposals_open",
        "account",
        "job_id",
        unique=True,
        sqlite_where=OPEN_PROPOSAL,
        postgresql_where=OPEN_PROPOSAL,
    ),
    sqlite_autoincrement=True,
)

# What people did about cancels: only ever added to.
audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", Micros, nullable=False),
    Column("who", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("what", String(16), nullable=False),
    Column("why", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("proposal_id", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Index("ix_audit_job", "account", "job_id", "id"),
    sqlite_autoincrement=True,
)

# What the router keeps between its runs (see `domain/groups.py`); `flush_at` is NULL where nothing waits.
groups = Table(
    "groups",
    metadata,
    Column("key", Text, primary_key=True),
    Column("flush_at", Micros),
    Column("state", Text, nullable=False),
    Index("ix_groups_flush_at", "flush_at"),
)

silences = Table(
    "silences",
    metadata,
    Column("id", Text, primary_key=True),
    Column("starts_at", Micros, nullable=False),
    Column("ends_at", Micros, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_silences_ends_at", "ends_at"),
)

acks = Table(
    "acks",
    metadata,
    Column("alert_id", Text, primary_key=True),
    Column("author", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at", Micros, nullable=False),
    Column("until", Micros),
)

# Why each alert was told, held or never told, and to whom: what `watcher explain` shows.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("alert_id", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("at", Micros, nullable=False),
    Column("what", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("outbox_key", Text, nullable=False),
    Index("ix_decisions_alert", "alert_id", "id"),
    sqlite_autoincrement=True,
)

# What a change of a table means to those who show it. The rest says nothing new: `meta` changes every few seconds.
TOPICS = {
    jobs.name: Topic.JOBS,
    moves.name: Topic.JOBS,
    observations.name: Topic.JOBS,
    alerts.name: Topic.ALERTS,
    transitions.name: Topic.ALERTS,
    acks.name: Topic.ALERTS,
    proposals.name: Topic.PROPOSALS,
    audit.name: Topic.PROPOSALS,
    silences.name: Topic.SILENCES,
    outbox.name: Topic.RECEIVERS,
}

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

# Alembic's own table. It stands apart from `metadata`, since Alembic makes it itself when it upgrades.
versions = Table(
    "alembic_version",
    MetaData(naming_convention={"pk": "%(table_name)s_pkc"}),
    Column("version_num", String(32), primary_key=True),
)
