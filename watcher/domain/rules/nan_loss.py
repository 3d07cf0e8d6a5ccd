"""The train loss is no number any more, openly or in disguise; or the eval loss is none."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import EvalRow, Observation, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_REFUTED = 1.5
"""What one good row takes from the count of bad ones: weights that are NaN never give a finite loss again, so a
good row speaks louder than a bad one; a feed of which 60 % is bad still fires."""
_MAX_EPISODES = 9
"""Bad stretches that ended by themselves raise the demand by a row each, up to this many: a run whose batches are
sometimes all padding shows lone NaN rows for ever and is fine."""
_RECOVERED_ROWS = 20
"""Good rows in a row after which a firing is over."""
_FALL = 0.02
"""A loss that becomes exactly 0.0 from above this share of its start did not get there by learning."""

_UNCONFIRMED = 0.25
"""What a missing or zero loss counts where no gradient norm was ever reported that could confirm it."""


@dataclass(slots=True)
class NanLossState:
    """Plain counts; no NaN is kept."""

    rows: int = 0
    evals: int = 0
    step: int = 0
    start: float | None = None
    recent: float | None = None
    norms_seen: bool = False
    bad: float = 0.0
    bad_rows: int = 0
    bad_since: int = 0
    what: str = ""
    episodes: int = 0
    good_rows: int = 0
    verdict: Breach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NanLoss:
    """Fires `train` after `rows_needed` bad rows in a row, more where bad rows came and went before.

    A row is bad when its loss is not finite, or when it is missing or exactly 0.0 while the gradient norm is not finite
    or, against this run's habit, null. A run that never reports norms is believed in its zeros, unless the loss
    fell to exactly 0.0 at once from far above. A gradient norm alone never counts: mixed precision skips such steps.
    Fires `eval`, a warning, on an evaluation whose loss is not finite.
    """

    name: str = "nan_loss"
    sensitivity: Literal["low", "normal", "high"] = "normal"
    rows_needed: int = 3

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (TrainRow, EvalRow)
    timed: ClassVar[bool] = False

    def start(self) -> NanLossState:
        return NanLossState()

    def observe(self, state: NanLossState, observation: Observation) -> None:
        if isinstance(observation, TrainRow):
            state.rows += 1
            state.step = observation.step
            what, weight = _fault(state, observation)
            if what:
                self._bad_row(state, observation, what, weight)
            else:
                _good_row(state, observation)
        elif isinstance(observation, EvalRow):
            state.evals += 1
            _eval_row(state, observation)

    def judge(self, state: NanLossState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows or state.evals else Unknown("no rows yet")

    def _bad_row(self, state: NanLossState, row: TrainRow, what: str, weight: float) -> None:
        if state.bad_rows == 0:
            state.bad_since, state.what = row.step, what
        state.bad_rows += 1
        state.bad += weight
        state.good_rows = 0
        extra = {"low": 3, "normal": 0, "high": -1}[self.sensitivity]
        if not _holds(state, "train") and state.bad >= max(1, self.rows_needed + extra) + state.episodes:
            _latch(state, "train", _broken(state, row))


def _fault(state: NanLossState, row: TrainRow) -> tuple[str, float]:
    """What is wrong with the row, in words, and how much it counts; nothing and 0.0 for a good row."""
    loss, norm = finite(row.loss), finite(row.grad_norm)
    if norm is not None:
        state.norms_seen = True
    if row.loss is not None and loss is None:
        return f"the train loss is {row.loss}", 1.0
    if (loss is not None and loss != 0.0) or norm is not None:
        return "", 0.0
    said = "missing" if loss is None else "exactly 0.0"
    if row.grad_norm is not None:
        return f"the train loss is {said} and the gradient norm {row.grad_norm}", 1.0
    if state.norms_seen and state.start is not None:
        return f"the train loss is {said} and the gradient norm missing", 1.0
    return _without_norms(state, loss, said)


def _without_norms(state: NanLossState, loss: float | None, said: str) -> tuple[str, float]:
    if state.start is None or state.recent is None or (loss == 0.0 and state.recent <= _FALL * state.start):
        return "", 0.0
    return f"the train loss is {said}, after {state.recent:.4g}", _UNCONFIRMED


def _good_row(state: NanLossState, row: TrainRow) -> None:
    loss = finite(row.loss)
    if loss is not None and loss != 0.0:
        if state.start is None:
            state.start = abs(loss)
        state.recent = abs(loss) if state.recent is None else 0.5 * state.recent + 0.5 * abs(loss)
    elif state.recent is not None:
        state.recent *= 0.5
    state.good_rows += 1
    firing = _holds(state, "train")
    if state.bad_rows and not firing:
        state.bad = max(0.0, state.bad - _REFUTED)
        if state.bad == 0.0:
            state.bad_rows = 0
            state.episodes = min(_MAX_EPISODES, state.episodes + 1)
    elif firing and state.good_rows >= _RECOVERED_ROWS:
        state.bad, state.bad_rows = 0.0, 0
        state.episodes = min(_MAX_EPISODES, state.episodes + 1)
        _latch(state, "train", None)


def _broken(state: NanLossState, row: TrainRow) -> Finding:
    before = "" if state.recent is None else f"; the last good loss was near {state.recent:.4g}"
    return Finding(
        kind="train",
        severity=Severity.CRITICAL,
        reason=f"Since step {state.bad_since} {state.what}, in {state.bad_rows} rows up to step {row.step}{before}.",
        step=row.step,
        onset=state.bad_since,
        evidence=(("rows without a usable loss", str(state.bad_rows)), ("gradient norm", str(row.grad_norm))),
        may_cancel=True,
    )


def _eval_row(state: NanLossState, row: EvalRow) -> None:
    if finite(row.loss) is not None:
        if _holds(state, "eval"):
            _latch(state, "eval", None)
    elif not _holds(state, "eval"):
        said = "missing" if row.loss is None else str(row.loss)
        finding = Finding(
            kind="eval",
            severity=Severity.WARNING,
            reason=f"The eval loss at step {row.step} is {said}, in evaluation {state.evals} of this run.",
            step=row.step,
            onset=row.step,
        )
        _latch(state, "eval", finding)


def _holds(state: NanLossState, kind: str) -> bool:
    return state.verdict is not None and any(f.kind == kind for f in state.verdict.findings)


def _latch(state: NanLossState, kind: str, finding: Finding | None) -> None:
    """Replace what is said of one kind; the findings of the other stay the same objects."""
    others = tuple(f for f in state.verdict.findings if f.kind != kind) if state.verdict else ()
    found = (*others, finding) if finding is not None else others
    state.verdict = Breach(found) if found else None
