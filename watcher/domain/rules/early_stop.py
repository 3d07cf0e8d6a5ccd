"""`early_stop`: the provider stopped the run early, which evaluations made it do so, and which step it ships."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from watcher.domain import money
from watcher.domain.early_stopping import EarlyStopping, Evaluation, course
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

    At most 200 evaluations: the oldest but the best go. `one_left` is the forecast, latched until an eval changes it.
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
    price_nano: int | None = None
    one_left: Finding | None = None


@dataclass(frozen=True, slots=True)
class EarlyStop:
    """Explains an early stop once; kind `stopped`, or `no_best` when no evaluation was ever finite and better.

    The service does not say why it stopped: a best metric that is null, or a last evaluation that is not finite, means
    a non-finite stop; anything else used up patience, whose evaluations are inferred from the rows after the best one.
    A null metric is critical: the shipped step is then the one where it halted, and may be a broken model.

    `wait` is how long to wait for the evaluation at the halt to be read. Kind `forecast` (one more bad evaluation ends
    the run) needs `early_stopping`, since the API does not echo the knobs; with a patience of 1 it would always hold
    and is left out.
    """

    name: str = "early_stop"
    wait: timedelta = timedelta(minutes=2)
    early_stopping: EarlyStopping | None = None

    version: ClassVar[int] = 1
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
        return Breach((_finding(state),))

    def _forecast(self, state: EarlyStopState) -> Finding | None:
        knobs = self.early_stopping
        # With evaluations dropped from the front the warm-up can't be counted any more, and is long over.
        if knobs is None or knobs.patience < 2:  # noqa: PLR2004 - see the class
            return None
        so_far = course(state.evals, knobs if not state.dropped else _warm(knobs))
        if so_far.best is None or len(so_far.bad) != knobs.patience - 1:
            return None
        return Finding(
            kind="forecast",
            severity=Severity.INFO,
            reason=(
                f"One more evaluation without improvement ends the run: {len(so_far.bad)} of {knobs.patience} are "
                f"used up ({_list(so_far.bad)}) since the best, {_show(so_far.best)}."
            ),
            step=so_far.bad[-1].step,
            onset=so_far.bad[0].step,
            evidence=pairs(("best eval", _show(so_far.best)), ("bad evals", _list(so_far.bad))),
        )


def _warm(knobs: EarlyStopping) -> EarlyStopping:
    return EarlyStopping(patience=knobs.patience, min_delta=knobs.min_delta, warmup=0)


def _take_eval(state: EarlyStopState, evaluation: Evaluation) -> None:
    kept = [e for e in state.evals if e.step != evaluation.step]
    state.evals = sorted([*kept, evaluation], key=lambda e: e.step)
    if len(state.evals) > _EVALUATIONS:
        del state.evals[1 if state.evals[0] == _best(state.evals) else 0]
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
    state.price_nano = snapshot.total_price_nano or state.price_nano
    if snapshot.early_stopped:
        state.flagged = True
        state.since = earliest(state.since, snapshot.at)
        state.best_step = state.best_step or snapshot.best_step or None
        state.best_metric = _known(state.best_metric, snapshot.best_metric)


def _known(value: float | None, other: float | None) -> float | None:
    return finite(value) if finite(value) is not None else finite(other)


def _best(evals: list[Evaluation]) -> Evaluation | None:
    return min((e for e in evals if e.loss is not None), key=lambda e: e.loss or 0.0, default=None)


def _complete(state: EarlyStopState) -> bool:
    """Whether the explanation can't get better: both accounts of a null metric are in, and the last eval is."""
    told = state.best_metric is not None or (state.logged and state.flagged)
    last = state.evals[-1].step if state.evals else None
    return told and state.halt_step is not None and last is not None and last >= state.halt_step


def _finding(state: EarlyStopState) -> Finding:
    halt = state.halt_step or state.done
    after = [e for e in state.evals if state.best_step is not None and e.step > state.best_step]
    where = steps(halt, state.planned)
    back = money.unused(money.dollars(state.price_nano), halt, state.planned)
    best = f"{number(state.best_metric)} at step {state.best_step}" if state.best_metric is not None else "none"
    return Finding(
        kind="stopped" if state.best_metric is not None else "no_best",
        severity=Severity.INFO if state.best_metric is not None else Severity.CRITICAL,
        reason=f"The provider stopped the run early{f' at step {where}' if where else ''}: {_why(state, after)}.",
        step=halt,
        onset=state.best_step,
        evidence=pairs(
            ("best eval loss", best),
            ("ships step", str(state.best_step) if state.best_step else None),
            ("evals after the best", _list(after) or None),
            ("unused steps worth", f"about {money.show(back)}, {money.BY_STEPS}" if back is not None else None),
        ),
        notice=True,
    )


def _why(state: EarlyStopState, after: list[Evaluation]) -> str:
    ships = f"step {state.best_step} ships" if state.best_step else "the step that ships is not known"
    if state.best_metric is None:
        seen = _list(state.evals[-3:])
        return (
            f"no evaluation gave a finite best loss{f' ({seen})' if seen else ''}, a non-finite stop; {ships}, and may "
            "be a broken model"
        )
    best = f"the best eval loss is {number(state.best_metric)}; {ships}"
    if state.evals and state.evals[-1].loss is None:
        return f"the eval loss at step {state.evals[-1].step} was not finite; {best}"
    if after:
        return f"patience was used up by {len(after)} evals without enough improvement ({_list(after)}); {best}"
    return f"patience was used up, by evals that were not seen; {best}"


def _show(evaluation: Evaluation) -> str:
    loss = "not finite" if evaluation.loss is None else number(evaluation.loss)
    return f"{loss} at step {evaluation.step}"


def _list(evaluations: tuple[Evaluation, ...] | list[Evaluation]) -> str:
    """The last ten at most: a long patience would fill a message."""
    return ", ".join(_show(e) for e in evaluations[-10:])
