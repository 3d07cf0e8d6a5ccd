"""`early_stop`: the provider stopped the run early, which evaluations made it do so, and which step it ships."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import ClassVar

from watcher.domain.early_stop_causes import Cause, Explanation, Stop, explain, lower_seen
from watcher.domain.early_stop_check import left
from watcher.domain.early_stopping import EarlyStopping, Evaluation, lowest, show, show_all
from watcher.domain.event_log import earliest, highest
from watcher.domain.observations import EvalRow, Event, Observation, Snapshot, Status, finite
from watcher.domain.phrasing import number, pairs, steps
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_WAITING = Unknown("stopped early; waiting for the evaluation that did it")
_EVALUATIONS = 60


@dataclass(slots=True)
class EarlyStopState:
    """The evaluations, by step, and what the log and the job say of the stop.

    At most sixty evaluations: the oldest but the best go. `evals_done` is how many the service counts. `one_left` is
    the forecast, latched until an eval changes it.
    """

    evals: list[Evaluation] = field(default_factory=list)
    dropped: int = 0
    status: Status | None = None
    logged: bool = False
    flagged: bool = False
    since: datetime | None = None
    halt_step: int | None = None
    best_step: int | None = None
    best_metric: float | None = None
    done: int | None = None
    planned: int | None = None
    n_evals: int | None = None
    evals_done: int | None = None
    one_left: Finding | None = None


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """Explains an early stop once; kind `stopped`, or `no_best` when no evaluation was ever finite and better.

    The service does not say why it stopped: a last evaluation that is not finite means a non-finite stop, one that is
    finite that patience was used up; see `early_stop_causes`. Where it was not seen the cause is not known. A null
    metric is critical: the shipped step is then the one where it halted, and may be a broken model.

    `wait` is how long to wait for the evaluation at the halt to be read. Kind `forecast` (one more bad evaluation ends
    the run) needs `early_stopping`, since the API does not echo the knobs; with a patience of 1 it would always hold
    and is left out.
    """

    name: str = "early_stop"
    wait: timedelta = timedelta(minutes=2)
    early_stopping: EarlyStopping | None = None

    version: ClassVar[int] = 2
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, EvalRow, Event)
    timed: ClassVar[bool] = True

    def start(self) -> EarlyStopState:
        return EarlyStopState()

    def observe(self, state: EarlyStopState, observation: Observation) -> None:
        match observation:
            case EvalRow():
                _take_eval(state, Evaluation(observation.step, finite(observation.loss)))
                state.one_left = self._forecast(state)
            case Event(type="early_stopped"):
                _take_stop(state, observation)
            case Snapshot():
                _take_snapshot(state, observation)
            case _:
                pass

    def judge(self, state: EarlyStopState, now: datetime) -> Verdict:
        if not (state.logged or state.flagged):
            running = state.status is Status.RUNNING
            return Breach((state.one_left,)) if running and state.one_left is not None else CLEAR
        waited = state.since is None or now - state.since >= self.wait
        if not waited and not _complete(state):
            return _WAITING
        return Breach((_finding(state, self.early_stopping),))

    def _forecast(self, state: EarlyStopState) -> Finding | None:
        knobs = self.early_stopping
        if knobs is None or knobs.patience < 2 or _all_done(state):  # noqa: PLR2004 - see the class
            return None
        # With evaluations dropped from the front the warm-up can't be counted any more, and is long over.
        found = left(state.evals, knobs if not state.dropped else replace(knobs, warmup=0))
        if found is None or found.fewest != 1 or found.course.best is None:
            return None
        best, bad = found.course.best, found.course.bad
        sure = found.most == found.fewest
        reason = (
            f"One more evaluation without improvement {'ends' if sure else 'may end'} the run: {len(bad)} of "
            f"{knobs.patience} are used up ({show_all(bad)}) since the best, {show(best)}"
        )
        unsure = f"; or {found.most} more, since how the service reads min_delta is not documented"
        return Finding(
            kind="forecast",
            severity=Severity.INFO,
            reason=f"{reason}{'' if sure else unsure}.",
            step=bad[-1].step,
            onset=bad[0].step,
            evidence=pairs(("best eval", show(best)), ("bad evals", show_all(bad)), ("settings", str(knobs))),
        )


def _all_done(state: EarlyStopState) -> bool:
    """Whether the last planned evaluation is in: no other comes that could end the run."""
    return state.n_evals is not None and state.dropped + len(state.evals) >= state.n_evals


def _take_eval(state: EarlyStopState, evaluation: Evaluation) -> None:
    if state.evals and evaluation.step <= state.evals[-1].step:
        kept = [e for e in state.evals if e.step != evaluation.step]
        state.evals = sorted([*kept, evaluation], key=lambda e: e.step)
    else:
        state.evals.append(evaluation)
    if len(state.evals) > _EVALUATIONS:
        del state.evals[1 if state.evals[0] == lowest(state.evals) else 0]
        state.dropped += 1


def _take_stop(state: EarlyStopState, event: Event) -> None:
    state.logged = True
    state.since = earliest(state.since, event.at)
    state.halt_step = event.step or state.halt_step
    state.best_step = event.best_step or state.best_step
    state.best_metric = _known(event.best_metric, state.best_metric)
    state.planned = state.planned or event.total_steps or None


def _take_snapshot(state: EarlyStopState, snapshot: Snapshot) -> None:
    state.status = snapshot.status
    state.done = highest(state.done, snapshot.steps_completed)
    state.planned = snapshot.total_steps or state.planned
    state.n_evals = snapshot.n_evals or state.n_evals
    state.evals_done = highest(state.evals_done, snapshot.evals_completed)
    if snapshot.early_stopped:
        state.flagged = True
        state.since = earliest(state.since, snapshot.at)
        state.best_step = state.best_step or snapshot.best_step or None
        state.best_metric = _known(state.best_metric, snapshot.best_metric)


def _known(value: float | None, other: float | None) -> float | None:
    return finite(value) if finite(value) is not None else finite(other)


def _complete(state: EarlyStopState) -> bool:
    """Whether the explanation can't get better: both accounts of a null metric are in, and the last eval is."""
    told = state.best_metric is not None or (state.logged and state.flagged)
    last = state.evals[-1].step if state.evals else None
    return told and state.halt_step is not None and last is not None and last >= state.halt_step


def _finding(state: EarlyStopState, configured: EarlyStopping | None) -> Finding:
    last = state.evals[-1].step if state.evals else None
    halt = state.halt_step or highest(state.done, last)
    all_seen = state.evals_done is None or state.evals_done <= len(state.evals)
    why = explain(
        Stop(
            evals=state.evals,
            complete=not state.dropped and all_seen,
            halt_step=halt,
            best_step=state.best_step,
            best_metric=state.best_metric,
            n_evals=state.n_evals,
            configured=configured,
        )
    )
    where = steps(halt, state.planned)
    best = f"{number(state.best_metric)} at step {state.best_step}" if state.best_metric is not None else "none"
    return Finding(
        kind="stopped" if state.best_metric is not None else "no_best",
        severity=Severity.INFO if state.best_metric is not None else Severity.CRITICAL,
        reason=f"The provider stopped the run early{f' at step {where}' if where else ''}: {_why(state, why)}.",
        step=halt,
        onset=state.best_step,
        evidence=pairs(
            ("best eval loss", best),
            ("ships step", str(state.best_step) if state.best_step else None),
            ("evals that used up patience", show_all(why.used) or None),
            ("lowest eval seen", lower_seen(why, state.evals)),
            ("settings", why.settings or None),
        ),
        notice=True,
    )


def _why(state: EarlyStopState, why: Explanation) -> str:
    ships = f"step {state.best_step} ships" if state.best_step else "the step that ships is not known"
    if state.best_metric is None:
        return f"{_without_best(state, why)}; {ships}, and may be a broken model"
    best = f"the best eval loss is {number(state.best_metric)}; {ships}"
    if why.cause is Cause.NOT_FINITE:
        return f"the eval loss at step {state.evals[-1].step} was not finite; {best}"
    if why.cause is Cause.PATIENCE:
        bad = f"{len(why.used)} {'eval' if len(why.used) == 1 else 'evals'} without enough improvement"
        return f"patience was used up by {bad} ({show_all(why.used)}); {best}"
    return f"whether patience was used up or a loss was not finite is not known, its last eval was not seen; {best}"


def _without_best(state: EarlyStopState, why: Explanation) -> str:
    """A null metric says that no evaluation was ever finite; what was seen may say otherwise."""
    seen = show_all(state.evals[-3:])
    if lowest(state.evals) is None:
        return f"no evaluation gave a finite best loss{f' ({seen})' if seen else ''}, a non-finite stop"
    last = "a non-finite stop" if why.cause is Cause.NOT_FINITE else "why it stopped is not known"
    return f"the service names no finite best loss, though there were finite ones (the last evals: {seen}), {last}"
