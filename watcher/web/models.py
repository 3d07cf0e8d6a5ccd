"""The answers of the JSON API as models: what the OpenAPI document is made of. A test holds every real answer to them.

Moments are ISO-8601 with offset. Dollars are decimal strings. A number that is not finite is null, or one of "NaN",
"Infinity" and "-Infinity" where the type says text. Text from the provider's API is untrusted, and not escaped here.
"""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from watcher.domain.verdicts import Severity
from watcher.service.records import Act, OutboxState, ProposalState

Number = float | Literal["NaN", "Infinity", "-Infinity"]


class Answer(BaseModel):
    """Strict about its keys, so that none can come without being documented."""

    model_config = ConfigDict(extra="forbid")


class Failed(BaseModel):
    """What went wrong, in words. A conflict may say more."""

    model_config = ConfigDict(extra="allow")

    error: str


# --- alerts ---


class Alert(Answer):
    """One episode of one rule on a job, an account (`subject` is its name), or the watcher itself."""

    id: str
    rule: str
    kind: str
    subject: str
    account: str
    severity: Severity
    state: Literal["pending", "firing", "resolved"]
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None
    step: int | None
    onset: int | None = Field(description="The step at which what it found began.")
    reason: str
    notice: bool = Field(description="Told once; never counts as firing.")
    acknowledged_by: str | None
    acknowledged_until: AwareDatetime | None = Field(description="Null where it holds for good.")


class Alerts(Answer):
    """Newest first."""

    alerts: list[Alert]


class Acknowledgement(Answer):
    """Who takes care of it; the first to say so stays."""

    acknowledged_by: str
    acknowledged_at: AwareDatetime
    acknowledged_until: AwareDatetime | None
    comment: str


class Acknowledged(Acknowledgement):
    """The answer to an acknowledgement."""

    alert: str
    rule: str
    subject: str


class AlertStep(Answer):
    """A change of an alert's state, or news of its cancel."""

    at: AwareDatetime
    reason: str
    note: str
    state: str


class Delivery(Answer):
    """What came of a message to one target."""

    key: str
    receiver: str
    target: str
    state: OutboxState
    attempts: int
    delivered_at: AwareDatetime | None
    given_up_at: AwareDatetime | None
    next_at: AwareDatetime | None
    error: str


class Decision(Answer):
    """Why an alert was told, held back or not told, and what was sent."""

    at: AwareDatetime
    receiver: str
    what: str
    why: str
    deliveries: list[Delivery]


class Coming(Answer):
    """What comes next."""

    receiver: str
    at: AwareDatetime | None
    what: str
    why: str


# --- cancels ---


class Proposal(Answer):
    """One cancel in its life."""

    id: str
    job: str
    account: str
    rule: str
    kind: str
    mode: str
    state: ProposalState
    step: int | None
    reason: str
    proposed_at: AwareDatetime
    veto_window: float = Field(description="Seconds.")
    round: int
    announced_at: AwareDatetime | None
    deadline_at: AwareDatetime | None
    frozen_at: AwareDatetime | None
    approved_at: AwareDatetime | None
    requested_at: AwareDatetime | None
    posted_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    detail: str


class TimedProposal(Proposal):
    """One cancel with its countdown."""

    seconds_left: float | None = Field(description="To the deadline; null where none runs, 0 where the cancel is due.")
    frozen_reason: str | None = Field(description="What is not known that must be, while it is frozen.")


class Proposals(Answer):
    """Newest first."""

    proposals: list[TimedProposal]


class Guarded(Answer):
    """What keeps an alert from cancelling its job."""

    name: str
    reason: str


class AlertStory(Answer):
    """One alert whole."""

    alert: Alert
    acknowledged: Acknowledgement | None
    transitions: list[AlertStep]
    decisions: list[Decision]
    next: list[Coming]
    policy: str = Field(description="What was said of a cancel when it began.")
    guard: Guarded | None = Field(description="What keeps it from cancelling now; null where it is over or may.")
    cancels: list[Proposal]


class Said(Answer):
    """What came of a veto or an approval; 409 where it changed nothing."""

    job: str
    account: str
    proposal: str
    done: bool
    outcome: Literal["vetoed", "protected", "approved", "too_late", "over", "nothing_open"]
    text: str
    never_cancel: bool


# --- people and receivers ---


class Silence(Answer):
    """What holds back alerts for a while."""

    id: str
    active: bool
    matchers: list[str]
    author: str
    comment: str
    starts_at: AwareDatetime
    ends_at: AwareDatetime


class Silences(Answer):
    """The first to end first; after them those that are over, the last first."""

    silences: list[Silence]


class Target(Answer):
    """One address of a receiver, named by a keyed hash, and the last thing that happened there."""

    id: str
    service: str | None = Field(description="Its kind, such as slack; null where the configuration lacks it.")
    last: Literal["delivered", "failing", "gave up", "nothing sent yet"]
    delivered_at: AwareDatetime | None
    failed_at: AwareDatetime | None
    next_at: AwareDatetime | None
    attempts: int
    error: str


class GoneTarget(Target):
    """A target that messages were sent to and that no receiver has any more."""

    receiver: str


class Receiver(Answer):
    """A named list of targets."""

    name: str
    targets: list[Target]


class Receivers(Answer):
    """Every receiver of the present configuration, and what older ones left."""

    receivers: list[Receiver]
    gone: list[GoneTarget]


class Drilled(Answer):
    """What one target answered to a drill."""

    receiver: str
    scheme: str
    target: str
    ok: bool
    reason: str
    seconds: float


class Drill(Answer):
    """What came of a drill."""

    passed: bool
    alert: str
    targets: list[Drilled]


class Audit(Answer):
    """One thing that somebody did, or tried to."""

    at: AwareDatetime
    who: str = Field(description="As it was given: whoever has the token may give any name.")
    via: str = Field(description="command, link, page or api.")
    what: Act
    why: str
    account: str | None
    job: str | None
    proposal: str | None
    outcome: str


class Audits(Answer):
    """Newest first."""

    audit: list[Audit]
