"""The cancel policy on a recorded run: the daemon's own guards, sweep by sweep, in each of its modes.

Where rows have a time, or a step has a length (`Timing.step_seconds`), sweeps come at whole multiples of the interval,
a veto window lasts as long as it does in life, and whatever came to nothing before its end is withdrawn. Elsewhere each
row is a sweep of its own and a window is over as it begins: the earliest cancel that there could be.

What a recording can't say is left out: people and their vetoes, the kill switch, and the number of cancels in an hour,
since recordings are independent of each other. Its job runs until its last row; announcements are delivered at once.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from watcher.domain.alerts import Alert
from watcher.domain.cancel_policy import NEVER_CANCELS, CancelMode, CancelPolicy, Evidence, Guard, Refusal, refusals
from watcher.domain.engine import AlertKey, Fold
from watcher.domain.observations import Row, TrainRow
from watcher.domain.replay import Recording, plan_of

_SECOND = 10**9
_LONGEST = 1e9
"""Seconds between two rows: what is longer, as where steps are no steps, is cut so that sums stay finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """From sweep to sweep, and how steps become time in a recording that has none; None where nobody says."""

    interval: timedelta = timedelta(seconds=30)
    step_seconds: float | None = None


class Outcome(StrEnum):
    """What came of a proposal."""

    OBSERVED = "observed"
    OPEN = "open"
    """The recording ended before the veto window did."""
    WITHDRAWN = "withdrawn"
    CANCELLED = "cancelled"


@dataclass(slots=True, kw_only=True)
class Proposed:
    """A cancel that every guard agreed to at `step`, what came of it, and where (`ended`).

    `rows` is how many rows of the recording were seen by then, repetitions included.
    """

    alert_id: str
    rule: str
    kind: str
    reason: str
    step: int
    outcome: Outcome = Outcome.OPEN
    ended: int | None = None
    rows: int = 0
    detail: str = ""


@dataclass(slots=True, kw_only=True)
class Refused:
    """A guard that kept an alert from cancelling: its words as they were first, and from where to where."""

    rule: str
    kind: str
    guard: Guard
    reason: str
    step: int
    until: int


class Rehearsal:
    """Follows one replay (see `replay.Onlooker`). A run is cancelled at most once, and then the policy is done."""

    def __init__(self, recording: Recording, policy: CancelPolicy, timing: Timing) -> None:
        self.policy = policy
        self.proposals: list[Proposed] = []
        self._plan, self._timed, self._step_seconds = plan_of(recording), recording.timed, timing.step_seconds
        self._clocked = recording.timed or timing.step_seconds is not None
        self._interval = timing.interval.total_seconds() if self._clocked else 1.0
        waits = self._clocked and policy.mode is CancelMode.PROPOSE
        self._window = policy.veto_window.total_seconds() if waits else 0.0
        self._refused: dict[tuple[str, str, Guard], Refused] = {}
        self._now = 0.0
        self._rows = 0
        self._last: Row | None = None
        self._newest_ns = 0
        self._step: int | None = None
        self._unseen_since: float | None = None
        self._open: Proposed | None = None
        self._deadline: float | None = None

    @property
    def cancelled(self) -> Proposed | None:
        """The cancel, if there was one."""
        return next((p for p in self.proposals if p.outcome is Outcome.CANCELLED), None)

    @property
    def refused(self) -> list[Refused]:
        """Guards that refused, in the order in which they first did."""
        return list(self._refused.values())

    # --- the replay ---

    def before(self, fold: Fold, row: Row) -> None:
        """Time passes until this row is there."""
        self._now, before = self._now + self._wait_for(row), self._now
        if self._now > before:
            self._catch_up(fold, self._now)
        self._last, self._rows, self._newest_ns = row, self._rows + 1, max(self._newest_ns, row.at_ns)

    def after(self, fold: Fold, row: Row, *, restarted: bool) -> None:
        """The row is news to the next sweep."""
        if restarted:
            fold.confirmations.clear()
            self._step = None
        if isinstance(row, TrainRow):
            self._step = row.step
        if self._unseen_since is None:
            self._unseen_since = self._now

    def end(self, fold: Fold) -> None:
        """With a clock, sweeps that come later find that the job is over."""
        if not self._clocked:
            self._catch_up(fold, math.inf)
        if self._open is not None:
            self._open.detail = "the recording ends before its veto window did"

    def _wait_for(self, row: Row) -> float:
        """Seconds from the last row to this one; a step that is done again takes its time again."""
        if self._last is None:
            return 0.0
        if self._timed:
            return min(max(0, row.at_ns - self._newest_ns) / _SECOND, _LONGEST)
        if self._step_seconds is None:
            return 1.0
        steps = row.step - self._last.step
        return min((steps if steps >= 0 else 1) * self._step_seconds, _LONGEST)

    def _catch_up(self, fold: Fold, now: float) -> None:
        """What falls between the last row and this moment. A sweep goes first: what it withdraws is not cancelled."""
        while self.cancelled is None:
            sweep = math.inf if self._unseen_since is None else self._sweep_after(self._unseen_since)
            deadline = math.inf if self._deadline is None else self._deadline
            if min(sweep, deadline) >= now:
                return
            if sweep <= deadline:
                self._unseen_since = None
                self._sweep(fold, sweep)
            else:
                self._deadline = None
                self._look_again(fold)

    def _sweep_after(self, moment: float) -> float:
        return math.ceil(moment / self._interval) * self._interval

    # --- the policy ---

    def _sweep(self, fold: Fold, now: float) -> None:
        fold.confirm()
        if self._open is not None:
            if self._deadline is None:
                self._look_again(fold)  # its time had come, but something was not known
            else:
                self._tend(fold, self._open)
        elif self.policy.mode is not CancelMode.OFF:
            for alert in fold.firing():
                if self._consider(fold, alert, now):
                    break

    def _consider(self, fold: Fold, alert: Alert, now: float) -> bool:
        """Whether something was proposed: one at a time."""
        if not alert.may_cancel:
            self._refuse(alert, Refusal(Guard.CAPABILITY, NEVER_CANCELS), fold)
            return False
        no = self._guards(fold, alert, None)
        if no:
            self._refuse(alert, next((r for r in no if not r.guard.passing), no[0]), fold)
            return False
        if self.policy.mode is CancelMode.OBSERVE and any(p.alert_id == alert.id for p in self.proposals):
            return False
        self._propose(fold, alert, now)
        return True

    def _propose(self, fold: Fold, alert: Alert, now: float) -> None:
        held, observes = fold.finding((alert.rule, alert.kind)), self.policy.mode is CancelMode.OBSERVE
        proposed = Proposed(
            alert_id=alert.id,
            rule=alert.rule,
            kind=alert.kind,
            reason=held.reason if held else alert.reason,
            step=self._at(fold),
        )
        self.proposals.append(proposed)
        if observes:
            self._close(fold, proposed, Outcome.OBSERVED)
        elif self._window > 0:
            self._open, self._deadline = proposed, now + self._window
        else:
            self._close(fold, proposed, Outcome.CANCELLED)

    def _tend(self, fold: Fold, proposed: Proposed) -> tuple[Refusal, ...]:
        """Withdraw what guards refuse for good; what they refuse only for now waits."""
        alert = fold.alerts[proposed.rule, proposed.kind]
        if alert.id != proposed.alert_id:
            no: tuple[Refusal, ...] = (Refusal(Guard.FINDING, "another episode has begun since"),)
        else:
            no = self._guards(fold, alert, self.policy.mode)
        lasting = [refusal.reason for refusal in no if not refusal.guard.passing]
        if lasting:
            self._close(fold, proposed, Outcome.WITHDRAWN, "; ".join(lasting))
        return no

    def _look_again(self, fold: Fold) -> None:
        """The window is over: all that is left is to agree once more."""
        proposed = self._open
        if proposed is not None and not self._tend(fold, proposed):
            self._close(fold, proposed, Outcome.CANCELLED)

    def _guards(self, fold: Fold, alert: Alert, proposed: CancelMode | None) -> tuple[Refusal, ...]:
        key: AlertKey = (alert.rule, alert.kind)
        return refusals(
            self.policy,
            Evidence(
                finding=fold.finding(key),
                unknown=fold.unknown(alert.rule),
                confirmations=fold.confirmations.get(key, 0),
                fresh=True,
                snapshot=self._plan,
                step=self._step,
                vetoed=False,
                cancels_last_hour=0,
                kill_switch=False,
                proposed=proposed,
            ),
        )

    def _close(self, fold: Fold, proposed: Proposed, outcome: Outcome, detail: str = "") -> None:
        proposed.outcome, proposed.ended, proposed.rows, proposed.detail = outcome, self._at(fold), self._rows, detail
        self._open = self._deadline = None

    def _refuse(self, alert: Alert, no: Refusal, fold: Fold) -> None:
        key, step = (alert.rule, alert.kind, no.guard), self._at(fold)
        if key in self._refused:
            self._refused[key].until = step
        else:
            self._refused[key] = Refused(
                rule=alert.rule, kind=alert.kind, guard=no.guard, reason=no.reason, step=step, until=step
            )

    def _at(self, fold: Fold) -> int:
        """The last step seen, of training where there was any."""
        return self._step if self._step is not None else fold.last_step or 0
