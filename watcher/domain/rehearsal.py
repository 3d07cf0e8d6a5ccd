"""The cancel policy on a recorded run: the daemon's own guards, sweep by sweep, in each of its modes.

Where rows have a time, or a step has a length (`Timing.step_seconds`), sweeps come at whole multiples of the interval,
a veto window lasts as long as it does in life, and whatever came to nothing before its end is withdrawn. Elsewhere each
row is a sweep of its own and a window is over as it begins: the earliest cancel that there could be.

What a recording can't say is left out: people and their vetoes, the kill switch, and the number of cancels in an hour,
since recordings are independent of each other. Its job runs until its last row; announcements are delivered at once.
"""

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from watcher.domain.alerts import Alert
from watcher.domain.cadence import Pace, quiet_after, recent_for
from watcher.domain.cancel_policy import NEVER_CANCELS, CancelMode, CancelPolicy, Evidence, Guard, Refusal, refusals
from watcher.domain.engine import AlertKey, Fold
from watcher.domain.observations import Row
from watcher.domain.replay import Recording, plan_of

_NO_TIME = datetime.fromtimestamp(0, tz=UTC)
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
        self._now = self._seen_at = 0.0
        self._rows = 0
        self._last: Row | None = None
        self._newest_ns = 0
        self._pace = Pace()
        self._next_sweep = math.inf
        self._open: Proposed | None = None
        self._deadline = math.inf
        self._late = False
        """Whether the window of what is open has passed."""
        self._frozen_at: float | None = None

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
        self._now += self._wait_for(row)
        self._catch_up(fold, self._now)
        self._last, self._rows, self._newest_ns = row, self._rows + 1, max(self._newest_ns, row.at_ns)

    def after(self, fold: Fold, row: Row, *, restarted: bool) -> None:
        """The row is news to the next sweep."""
        if restarted:
            fold.confirmations.clear()
            if self._pace.train_step is not None:
                self._pace.train_step = min(self._pace.train_step, row.step)
        self._pace.take([replace(row, at_ns=round((1 + self._now) * _SECOND))], _NO_TIME)
        if self._next_sweep == math.inf:
            self._next_sweep = math.ceil(self._now / self._interval) * self._interval

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
            events = ((self._next_sweep, self._sweep), (self._quiet_at, self._freeze), (self._deadline, self._act))
            at, event = min(events, key=lambda pair: pair[0])
            if at >= now:
                return
            event(fold, at)

    @property
    def _quiet_at(self) -> float:
        """The first sweep that finds that no row came for too long."""
        if self._open is None or self._frozen_at is not None:
            return math.inf
        patience = quiet_after(self._pace.usual_gap).total_seconds()
        return (math.floor((self._seen_at + patience) / self._interval) + 1) * self._interval

    # --- what is open ---

    def _sweep(self, fold: Fold, now: float) -> None:
        """A look at rows that are new."""
        self._next_sweep, self._seen_at = math.inf, now
        fold.confirm()
        if self._open is not None:
            self._tend(fold, self._open, now)
        elif self.policy.mode is not CancelMode.OFF:
            for alert in fold.firing():
                if self._consider(fold, alert, now):
                    break

    def _tend(self, fold: Fold, proposed: Proposed, now: float) -> None:
        agreed = self._ask(fold, proposed)
        if self._open is None:
            return
        if fold.doubt(proposed.rule):
            self._freeze(fold, now)
        elif agreed:
            self._take_up(fold, proposed, now)

    def _freeze(self, fold: Fold, now: float) -> None:
        """What is not known now must be seen again in two fresh sweeps."""
        if self._open is not None:
            fold.confirmations.pop((self._open.rule, self._open.kind), None)
        self._frozen_at = now if self._frozen_at is None else self._frozen_at

    def _take_up(self, fold: Fold, proposed: Proposed, now: float) -> None:
        """Who waited for longer than a window gets a full one; else it goes on, and may be over by now."""
        waited, self._frozen_at = now - (now if self._frozen_at is None else self._frozen_at), None
        if waited > self._window:
            self._deadline, self._late = now + self._window, False
        elif self._late:
            self._close(fold, proposed, Outcome.CANCELLED)

    def _act(self, fold: Fold, now: float) -> None:
        """The window is over: what was seen last must be young, and agree once more. If not, sweeps go on with it."""
        self._deadline, self._late = math.inf, True
        if self._open is None or self._frozen_at is not None:
            return
        if self._next_sweep < math.inf:
            self._seen_at = now
        fresh = now - self._seen_at <= recent_for(self._pace.usual_gap).total_seconds()
        if self._ask(fold, self._open, fresh=fresh):
            self._close(fold, self._open, Outcome.CANCELLED)

    def _ask(self, fold: Fold, proposed: Proposed, *, fresh: bool = True) -> bool:
        """Whether every guard agrees still. Withdraws what one refuses for good; what is refused only for now waits."""
        alert = fold.alerts[proposed.rule, proposed.kind]
        no = self._guards(fold, alert, self.policy.mode, fresh=fresh)
        if alert.id != proposed.alert_id:
            no = (Refusal(Guard.FINDING, "another episode has begun since"),)
        lasting = [refusal.reason for refusal in no if not refusal.guard.passing]
        if lasting:
            self._close(fold, proposed, Outcome.WITHDRAWN, "; ".join(lasting))
        return not no

    def _close(self, fold: Fold, proposed: Proposed, outcome: Outcome, detail: str = "") -> None:
        proposed.outcome, proposed.ended, proposed.rows, proposed.detail = outcome, self._at(fold), self._rows, detail
        self._open, self._deadline, self._late, self._frozen_at = None, math.inf, False, None

    # --- what is new ---

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

    def _guards(
        self, fold: Fold, alert: Alert, proposed: CancelMode | None, *, fresh: bool = True
    ) -> tuple[Refusal, ...]:
        key: AlertKey = (alert.rule, alert.kind)
        return refusals(
            self.policy,
            Evidence(
                finding=fold.finding(key),
                unknown=fold.unknown(alert.rule),
                confirmations=fold.confirmations.get(key, 0),
                fresh=fresh,
                snapshot=self._plan,
                step=self._pace.train_step,
                vetoed=False,
                cancels_last_hour=0,
                kill_switch=False,
                proposed=proposed,
            ),
        )

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
        step = self._pace.train_step
        return step if step is not None else fold.last_step or 0
