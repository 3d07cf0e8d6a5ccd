"""The answers of the JSON API that are about jobs, their money, and the watcher as a whole."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from watcher.web.models import Alert, Answer, Number, Proposal, TimedProposal

Dollars = Annotated[str, Field(pattern=r"^-?[0-9]+\.[0-9]{2,9}$")]


class Job(Answer):
    """One job: the first eight keys are as `watcher once` gives them."""

    id: str
    account: str
    status: str
    step: int | None
    total_steps: int | None
    progress: float | None = Field(description="0 to 1.")
    health: str
    alerts: list[Alert]
    selection: str
    model: str | None
    suffix: str | None
    output_name: str | None
    loss: float | None
    best_eval: float | None
    best_eval_step: int | None
    sparkline: str
    price_nano: int | None
    created_at: AwareDatetime | None
    first_seen_at: AwareDatetime
    ended_at: AwareDatetime | None
    updated_at: AwareDatetime | None
    eta_seconds: float | None
    started_at: AwareDatetime | None
    never_cancel: bool
    closed: bool
    gone: bool
    restarted_as: str | None


class Jobs(Answer):
    """Every watched job, newest first."""

    jobs: list[Job]


# --- money ---


class Figure(Answer):
    """An amount, what it assumes, and why it is not known."""

    dollars: Dollars | None
    assumes: list[str]
    missing: str | None


class IfCancelled(Answer):
    """What a cancel would mean now."""

    spent: Figure
    saved: Figure


class Credit(Answer):
    """A refund that was seen."""

    at: AwareDatetime
    dollars: Dollars | None
    message: str


class Refund(Answer):
    """What should come back, and what did."""

    cause: str | None
    since: AwareDatetime | None
    expected: Figure
    seen: list[Credit]
    seen_dollars: Dollars | None
    price_lowered: Dollars | None
    entry_documented: bool
    state: str


class JobMoney(Answer):
    """What one job cost, saved and should get back; `rows` are the same in words."""

    id: str
    account: str
    suffix: str | None
    status: str
    ended_at: AwareDatetime | None
    step: int | None
    total_steps: int | None
    price: Figure
    spent: Figure
    hourly: Figure
    at_stake: Figure
    saved: Figure
    steps_saved: int | None
    saved_by: Literal["watcher", "hand", "early_stop", "somebody_else"] | None
    if_cancelled: IfCancelled | None
    refund: Refund
    rows: list[tuple[str, str]]


class Total(Answer):
    """A sum; `unknown` counts the jobs that are not in it."""

    dollars: Dollars | None
    assumes: list[str]
    unknown: int


class Saved(Total):
    """What was not spent, by who saw to it."""

    jobs: int
    steps: int


class Totals(Answer):
    """The sums of a month."""

    jobs: int
    price: Total
    spent: Total
    hourly: Total
    at_stake: Total
    saved: dict[Literal["watcher", "hand", "early_stop", "somebody_else"], Saved]
    refunds_expected: Total
    refunds_seen: Total
    refunds_overdue: int


class Money(Answer):
    """The jobs of a month in UTC."""

    month: str
    account: str | None
    jobs: list[JobMoney]
    totals: Totals


# --- one job whole ---

Line = tuple[list[float], list[float | None]]


class Series(Answer):
    """Each is a list of steps and one of values; null is where a line is interrupted."""

    train: Line
    smoothed: Line
    eval: Line
    learning_rate: Line
    grad_norm: Line


class Mark(Answer):
    """Something that stands at a step of the curve."""

    kind: Literal["alert", "checkpoint", "cancel"]
    step: float
    text: str
    onset: float | None = None
    severity: str | None = None


class Curve(Answer):
    """The curve, thinned to what a screen can show (`thinned`); `bad` are steps whose loss was no number."""

    id: str
    version: int
    total_steps: float | None
    thinned: bool
    series: Series
    bad: list[float]
    marks: list[Mark]


class Checkpoint(Answer):
    """A saved checkpoint; `from_checkpoint` is what a new job takes, `download` the command that fetches it."""

    step: int | None
    type: str
    final: bool
    created_at: AwareDatetime | None
    path: str
    from_checkpoint: str
    download: str


class BestSaved(Answer):
    """The checkpoint to go on from; `basis` says whose loss it is."""

    step: int
    loss: float | None
    basis: str
    from_checkpoint: str


class BestUnsaved(Answer):
    """A better place at which none was saved."""

    step: int
    loss: float | None


class GoingOn(Answer):
    """From which checkpoint to go on, by what they were compared, and the command; `lines` are the same in words."""

    measure: str | None
    saved: BestSaved | None
    unsaved: BestUnsaved | None
    newest: int | None
    replaced: list[int]
    not_compared: list[int]
    command: str | None
    missing: list[str]
    lines: list[str]


class Event(Answer):
    """One entry of the job's log."""

    at: AwareDatetime
    by: Literal["watcher", "service"]
    type: str
    level: str | None
    step: int | None
    total_steps: int | None
    message: str
    token_count: int | None
    checkpoint_path: str | None
    model_path: str | None
    best_step: int | None
    best_metric: Number | None


class EvalsLeft(Answer):
    """How many more bad evaluations end the run."""

    fewest: int
    most: int


class EarlyStopping(Answer):
    """What early stopping did, will do, or would have done; `lines` are sentences."""

    settings: str | None
    evals: int
    n_evals: int | None
    state: Literal["stopped", "waiting", "running", "would_have", "would_not_have"]
    lines: list[str]
    left: EvalsLeft | None
    halt_step: int | None
    ships_step: int | None


class WholeJob(Job):
    """One job with all that is known of it; of its log the newest entries, the newest first."""

    money: JobMoney
    proposals: list[TimedProposal]
    curve: Curve
    checkpoints: list[Checkpoint]
    going_on: GoingOn
    early_stopping: EarlyStopping | None
    events: list[Event]


# --- the watcher ---


class Account(Answer):
    """An account, with whose key it is as far as the API said."""

    name: str
    project: str | None
    project_id: str | None
    organization: str | None


class Outbox(Answer):
    """How full the outbox is."""

    due: int
    waiting: int
    claimed: int
    done: int
    dead: int
    oldest_due_at: AwareDatetime | None


class Status(Answer):
    """The watcher as a whole; `alerts` are those on accounts and on the watcher itself."""

    accounts: list[Account]
    jobs: int
    open_jobs: int
    firing: int
    alerts: list[Alert]
    outbox: Outbox
    proposals: list[Proposal]
    restart_needed: list[str]


class AccountHealth(Answer):
    """The sweeps of one account; `reason` is why the newest did not see it."""

    name: str
    interval_seconds: float
    swept_at: AwareDatetime
    useful_at: AwareDatetime
    reason: str | None


class Health(Answer):
    """How the watcher itself is."""

    version: str
    at: AwareDatetime
    alive: bool
    ready: bool
    reasons: list[str]
    store_writes: bool
    accounts: list[AccountHealth]
    orders: bool = Field(description="Whether orders are taken: web.token is given.")
    streams: int = Field(description="How many listen to /events.")
    failed_logins: int = Field(description="Wrong tokens since the start.")
    alerts: list[Alert]
    outbox: Outbox
    restart_needed: list[str]


class Probe(Answer):
    """Why not; empty with 200."""

    reasons: list[str]
