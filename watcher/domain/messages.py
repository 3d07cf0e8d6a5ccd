"""A message to people as facts: formats turn it into text, Markdown or HTML and escape for their own syntax.

Everything here may hold text from the API and is untrusted.
"""

from dataclasses import dataclass
from datetime import datetime

from watcher.domain.alerts import TransitionReason
from watcher.domain.verdicts import Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One alert of a message that tells of several."""

    reason: TransitionReason
    severity: Severity
    title: str
    what: str
    action: str = ""
    alert_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One notification. `key` is the idempotency key and the last line of every text form.

    `title` fits a lock screen (about 70 characters); `what` is one sentence with numbers; `facts` are ordered
    (label, value) pairs; `action` says what the watcher did or will do, or is empty; `sparkline` is the recent loss as
    block characters, or empty; `link` is a page about the job, or empty.
    """

    key: str
    at: datetime
    reason: TransitionReason
    severity: Severity
    rule: str
    kind: str
    subject: str
    account: str
    title: str
    what: str
    facts: tuple[tuple[str, str], ...] = ()
    action: str = ""
    command: str = ""
    """A shell command for people to copy, or empty."""
    sparkline: str = ""
    link: str = ""
    alert_id: str = ""
    job_id: str = ""
    """The one job that all of it is about, or empty."""
    proposal_id: str = ""
    """Set when this announces a cancel: its delivery begins the veto window of that round."""
    proposal_round: int = 0
    deadline_at: datetime | None = None
    """The earliest end of that window; a late delivery makes it later."""
    veto: str = ""
    """The link by which this proposal can be vetoed: set when the message is sent, and stored nowhere."""
    items: tuple[Item, ...] = ()
    """Set when the message tells of several alerts: then `what` counts them, and each is in here."""
