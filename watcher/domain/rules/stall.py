"""`stall`: the job says that it works, but nothing comes any more."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import ClassVar

from watcher.domain.event_log import highest
from watcher.domain.observations import EvalRow, Event, Gone, Observation, Snapshot, Status, TrainRow, Unreadable
from watcher.domain.packed import Floats
from watcher.domain.phrasing import clock, pairs, quote, span, steps
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_GAPS = 30
_FADING = 0.999
_SECOND = 10**9
_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CAME = Unknown("rows came that could not be made out")
_OUTPUT = (Status.COMPRESSING, Status.UPLOADING)


@dataclass(slots=True)
class StallState:
    """The job's own pace and its last sign of life; `last_ns`, `newest_ns` and `came_ns` are Unix ns, 0 for none.

    `came_ns` is when rows were last seen that could not be made out.
    `gaps` are the seconds between the last 31 training rows. `pause` is the longest gap there was, in seconds; it fades
    by 0.1 % a row, so that a halt of hours in the past is forgotten while the pauses for evaluations and checkpoints,
    which come back every few hundred rows, are not.
    """

    status: Status | None = None
    raw_status: str = ""
    started_at: datetime | None = None
    since: datetime | None = None
    training: bool = False
    newest_ns: int = 0
    last_ns: int = 0
    step: int | None = None
    planned: int | None = None
    gaps: Floats = field(default_factory=Floats)
    pause: float = 0.0
    came_ns: int = 0


@dataclass(frozen=True, slots=True)
class Stall:
    """Kind `training`: no fresh row or event for far longer than the job's own pace; kind `uploading`: see below.

    `running` covers downloads and tokenisation, so the clock starts with the `training_start` entry or the first row.
    The limit is the largest of `minimum`, `factor` times the median gap between training rows, and twice the longest
    pause (of which at most `longest_pause` counts); before there are two rows it is twice `minimum`, for a first step
    takes longest. `upload_limit` is for a job that compresses or uploads its output without any entry in the log.

    Rows that can't be made out are no news of the job's, but while such came within the limit it can't be told
    whether it stands still.

    Rows carry the service's clock: a newest sign of life that lies in the future means that the clocks differ, and
    nothing is said then.
    """

    name: str = "stall"
    minimum: timedelta = timedelta(minutes=15)
    factor: float = 10.0
    longest_pause: timedelta = timedelta(hours=3)
    upload_limit: timedelta = timedelta(hours=2)

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, EvalRow, Event, Gone, Unreadable)
    timed: ClassVar[bool] = True

    def start(self) -> StallState:
        return StallState()

    def observe(self, state: StallState, observation: Observation) -> None:
        match observation:
            case TrainRow():
                _take_row(state, observation)
            case EvalRow():
                state.newest_ns = max(state.newest_ns, observation.at_ns)
            case Event():
                state.training |= observation.type == "training_start"
                state.newest_ns = max(state.newest_ns, _nanoseconds(observation.at))
            case Snapshot():
                _take_snapshot(state, observation)
            case Unreadable():
                state.came_ns = _nanoseconds(observation.at)
            case Gone():
                state.status, state.training = None, False  # a deleted job does not stand still
            case _:
                pass

    def judge(self, state: StallState, now: datetime) -> Verdict:
        if state.status in _OUTPUT:
            return self._judge_output(state, now)
        if state.status is not Status.RUNNING or not state.training or state.newest_ns <= 0:
            return CLEAR
        silence = timedelta(seconds=(_nanoseconds(now) - state.newest_ns) / _SECOND)
        # The cheap half first: this is asked after every row, and a fresh one settles it.
        if silence <= self.minimum or silence <= self._limit(state):
            return CLEAR
        if timedelta(seconds=(_nanoseconds(now) - state.came_ns) / _SECOND) <= self._limit(state):
            return _CAME
        return Breach((_training(state, silence, self._limit(state)),))

    def _limit(self, state: StallState) -> timedelta:
        if not state.gaps:
            return 2 * self.minimum
        pause = min(timedelta(seconds=state.pause), self.longest_pause)
        return max(self.minimum, timedelta(seconds=self.factor * median(state.gaps)), 2 * pause)

    def _judge_output(self, state: StallState, now: datetime) -> Verdict:
        since = max(state.since or now, _moment(state.newest_ns))
        if now - since <= self.upload_limit:
            return CLEAR
        finding = Finding(
            kind="uploading",
            severity=Severity.WARNING,
            reason=(
                f"The job has been {quote(state.raw_status)} for {span(now - since)} without a sign of life, longer "
                f"than {span(self.upload_limit)}."
            ),
            step=state.step,
            evidence=pairs(("since", clock(since)), ("limit", span(self.upload_limit))),
        )
        return Breach((finding,))


def _take_row(state: StallState, row: TrainRow) -> None:
    state.training = True
    state.step = highest(state.step, row.step)
    at_ns, last_ns, gaps = row.at_ns, state.last_ns, state.gaps
    if at_ns > state.newest_ns:
        state.newest_ns = at_ns
    if at_ns <= last_ns:
        return
    if last_ns > 0:
        gap = (at_ns - last_ns) / _SECOND
        gaps.append(gap)
        if len(gaps) > _GAPS:
            del gaps[:-_GAPS]
        faded = state.pause * _FADING
        state.pause = gap if gap >= faded else faded
    state.last_ns = at_ns


def _take_snapshot(state: StallState, snapshot: Snapshot) -> None:
    if snapshot.status is not state.status:
        # `started_at` is that of the present stage, unless it is the one we know from the stage before.
        fresh = snapshot.started_at if snapshot.started_at != state.started_at else None
        state.since = fresh or snapshot.at
    state.status, state.raw_status, state.started_at = snapshot.status, snapshot.raw_status, snapshot.started_at
    state.planned = snapshot.total_steps or state.planned


def _training(state: StallState, silence: timedelta, limit: timedelta) -> Finding:
    where = steps(state.step, state.planned)
    pace = f"{median(state.gaps):.3g} s a row" if state.gaps else "not known yet"
    last = clock(_moment(state.newest_ns))
    return Finding(
        kind="training",
        severity=Severity.WARNING,
        reason=(
            f"No new row or event for {span(silence)}{f', since step {where}' if where else ' since training began'}; "
            f"by the job's own pace ({pace}) {span(limit)} would be long."
        ),
        step=state.step,
        evidence=pairs(
            ("last sign of life", last),
            ("own pace", pace),
            ("longest pause", span(timedelta(seconds=state.pause)) if state.pause else None),
            ("limit", span(limit)),
        ),
    )


def _nanoseconds(moment: datetime) -> int:
    """Unix nanoseconds, by integers: a float second would lose the low digits."""
    return (moment - _EPOCH) // _MICROSECOND * 1000


def _moment(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
