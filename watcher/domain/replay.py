"""A recorded run through the fold that the daemon runs: what would have fired, and what would have been cancelled."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from watcher.domain.alerts import Alert, Subject, Transition, TransitionReason
from watcher.domain.cancel_policy import CancelPolicy, out_of_bounds
from watcher.domain.cells import Crash
from watcher.domain.engine import Fold
from watcher.domain.feed import Arrival, Feed, step_order
from watcher.domain.observations import EvalRow, Row, Snapshot, Status, TrainRow
from watcher.domain.rule import Rule, SubjectKind

_EPOCH = datetime.fromtimestamp(0, tz=UTC)
"""A recording has no wall clock, and rules over rows do not ask for one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A run as recorded: rows in the order in which they count, see `merge`; the plan is None where it is not known.

    `timed` says that each row's `at_ns` is when it was logged, and not merely its place.
    """

    id: str
    rows: tuple[Row, ...]
    total_steps: int | None = None
    method: str | None = None
    n_evals: int | None = None
    timed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldCancel:
    """The cancel that `enforce` would do, at the last row seen then."""

    step: int
    rule: str
    reason: str


@dataclass(slots=True, kw_only=True)
class Replay:
    """What the rules say of a recording: each firing in order, the cancel if any, and rules that crashed."""

    recording: Recording
    alerts: list[Alert] = field(default_factory=list)
    cancel: WouldCancel | None = None
    transitions: list[Transition] = field(default_factory=list)
    crashes: list[Crash] = field(default_factory=list)


class Onlooker(Protocol):
    """Somebody who follows a replay row by row: `before` is called for every row, `after` for those that count."""

    def before(self, fold: Fold, row: Row) -> None:
        """Rules have seen nothing of the row yet."""

    def after(self, fold: Fold, row: Row, *, restarted: bool) -> None:
        """The row was judged; `restarted` says that another attempt began with it."""

    def end(self, fold: Fold) -> None:
        """There are no more rows."""


CANCELLING = {("divergence", None), ("nan_loss", "train")}
"""(rule, kind) that the replayed cancel looks at; None is any kind."""


def merge(train: Sequence[TrainRow], evals: Sequence[EvalRow]) -> tuple[Row, ...]:
    """Rows by step, train before eval at equal steps, the order of each kept: a lower step is a restart.

    An eval that itself stepped back waits for the train rows to step back too.
    """
    rows: list[Row] = []
    waiting = list(reversed(list(zip(evals, _attempts(evals), strict=True))))
    last = 0
    for row, attempt in zip(train, _attempts(train), strict=True):
        limit = row.step if attempt == last else rows[-1].step + 1
        while waiting and waiting[-1][0].step < limit and waiting[-1][1] <= last:
            rows.append(waiting.pop()[0])
        last = attempt
        rows.append(row)
    rows.extend(row for row, _ in reversed(waiting))
    return tuple(rows)


def _attempts(rows: Sequence[Row]) -> list[int]:
    """How often the step had gone back before each row, itself included."""
    attempts, count = list[int](), 0
    for before, row in zip([*rows[:1], *rows], rows, strict=False):
        count += row.step < before.step
        attempts.append(count)
    return attempts


def judged_by_rows(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules that rows alone can set off: a recording holds nothing else."""
    return tuple(rule for rule in rules if not rule.timed and {TrainRow, EvalRow} & set(rule.sees))


def replay(
    recording: Recording,
    rules: Sequence[Rule],
    policy: CancelPolicy | None = None,
    onlooker: Onlooker | None = None,
) -> Replay:
    """Fold a recording row by row. Rows get the order they have as their time."""
    policy, seen = policy or CancelPolicy(), onlooker or _Nobody()
    plan = plan_of(recording)
    fold = Fold.of(Subject(kind=SubjectKind.JOB, job_id=recording.id), rules)
    result = Replay(recording=recording)
    _note(result, fold.observe(plan, _EPOCH))
    feed, history = Feed(), list[Row]()
    for row in recording.rows:
        seen.before(fold, row)
        restarted = False
        match feed.classify(row):
            case Arrival.DUPLICATE | Arrival.SUPERSEDED:
                continue
            case Arrival.ATTEMPT | Arrival.LATE:  # rows have the order of the file as their time: none is late
                restarted, history = True, [r for r in history if r.step < row.step]
                fold.restart(row.step, [plan, *step_order(history)])
                feed.restart(history)
            case Arrival.NEW:
                pass
        feed.take(row)
        history.append(row)
        _note(result, fold.observe(row, _EPOCH))
        seen.after(fold, row, restarted=restarted)
        if result.cancel is None:
            result.cancel = _cancel(fold, policy, recording)
    seen.end(fold)
    result.crashes = fold.crashes
    return result


class _Nobody:
    """Nobody looks on."""

    def before(self, fold: Fold, row: Row) -> None:
        pass

    def after(self, fold: Fold, row: Row, *, restarted: bool) -> None:
        pass

    def end(self, fold: Fold) -> None:
        pass


def plan_of(recording: Recording) -> Snapshot:
    """The job of a recording as far as it says: running, with its plan."""
    return Snapshot(
        job_id=recording.id,
        at=_EPOCH,
        status=Status.RUNNING,
        raw_status="running",
        total_steps=recording.total_steps,
        method=recording.method,
        n_evals=recording.n_evals,
    )


def _note(result: Replay, told: Iterable[Transition]) -> None:
    for transition in told:
        result.transitions.append(transition)
        if transition.reason is TransitionReason.FIRST:
            result.alerts.append(transition.alert)


def _cancel(fold: Fold, policy: CancelPolicy, recording: Recording) -> WouldCancel | None:
    for alert in fold.firing():
        if not alert.may_cancel or not CANCELLING & {(alert.rule, None), (alert.rule, alert.kind)}:
            continue
        held = fold.finding((alert.rule, alert.kind))
        if held is None or fold.last_step is None:
            continue
        if out_of_bounds(policy, fold.last_step, recording.total_steps) is None:
            return WouldCancel(step=fold.last_step, rule=alert.rule, reason=held.reason)
    return None
