"""What people and programs read of a cancel policy that was tried on recorded runs: `replay --cancel MODE`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing, tables
from watcher.domain import billing, hindsight, moneywords
from watcher.domain.billing import Figure
from watcher.domain.cancel_policy import CancelMode, CancelPolicy, Guard
from watcher.domain.hindsight import Hindsight, Verdict, Worth
from watcher.domain.money import show
from watcher.domain.phrasing import number, span
from watcher.domain.rehearsal import Outcome, Proposed, Refused, Rehearsal, Timing
from watcher.domain.replay import Recording
from watcher.service.money import figure_json

Json = dict[str, Any]

_CAME = {
    Outcome.OBSERVED: "would be cancelled",
    Outcome.OPEN: "not cancelled",
    Outcome.WITHDRAWN: "withdrawn",
    Outcome.CANCELLED: "cancelled",
}


_VERDICTS = {Verdict.SAVED: "right", Verdict.LOST: "wrong", Verdict.UNKNOWN: "unknown"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was asked for: the policy, how steps become time, and what each run is taken to cost, in dollars."""

    policy: CancelPolicy
    timing: Timing
    price: Decimal | None = None

    @property
    def proposes(self) -> bool:
        """Whether there is a veto window."""
        return self.policy.mode is CancelMode.PROPOSE

    @property
    def acts(self) -> bool:
        """Whether anything can be cancelled."""
        return self.policy.mode in (CancelMode.PROPOSE, CancelMode.ENFORCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The policy on one run, which is not kept. `judged` is of the cancel, or of the first that was only observed."""

    id: str
    plan: int | None
    timed: bool
    proposals: Sequence[Proposed]
    refused: Sequence[Refused]
    cancel: Proposed | None
    judged: Hindsight | None
    worth: Worth


def case_of(recording: Recording, rehearsal: Rehearsal, trial: Trial) -> Case:
    """What is kept of one run."""
    cancel = rehearsal.cancelled
    meant = cancel or next((p for p in rehearsal.proposals if p.outcome is Outcome.OBSERVED), None)
    judged = hindsight.judged(recording.rows, meant.rows) if meant is not None else None
    worth = Worth()
    if cancel is not None and judged is not None:
        worth = hindsight.worth(judged.verdict, cancel.ended or 0, recording.total_steps, trial.price)
    return Case(
        id=recording.id,
        plan=recording.total_steps,
        timed=recording.timed,
        proposals=rehearsal.proposals,
        refused=rehearsal.refused,
        cancel=cancel,
        judged=judged,
        worth=worth,
    )


# --- for programs ---


def as_json(case: Case, trial: Trial) -> Json:
    """The key `policy` of a run's line; dollars are decimal strings."""
    cancel, worth = case.cancel, case.worth
    return {
        "mode": trial.policy.mode.value,
        "cancel": {"step": cancel.ended, "rule": cancel.rule, "kind": cancel.kind, "reason": cancel.reason}
        if cancel
        else None,
        "proposals": [
            {
                "rule": p.rule,
                "kind": p.kind,
                "step": p.step,
                "reason": p.reason,
                "outcome": p.outcome.value,
                "ended": p.ended,
                "detail": p.detail,
            }
            for p in case.proposals
        ],
        "refused": [
            {
                "rule": r.rule,
                "kind": r.kind,
                "guard": r.guard.value,
                "reason": r.reason,
                "step": r.step,
                "until": r.until,
            }
            for r in case.refused
        ],
        "hindsight": _judged(case.judged),
        "steps_saved": worth.steps_saved,
        "steps_lost": worth.steps_lost,
        "saved": figure_json(worth.saved) if trial.price is not None else None,
        "lost": figure_json(worth.lost) if trial.price is not None else None,
        "assumed": _assumed(case, trial),
    }


def _assumed(case: Case, trial: Trial) -> Json:
    """What the run did not say; a window in a run without time is null."""
    step, clocked = (
        None if case.timed else trial.timing.step_seconds,
        case.timed or trial.timing.step_seconds is not None,
    )
    return {
        "step_seconds": step,
        "interval_seconds": trial.timing.interval.total_seconds() if clocked else None,
        "veto_window_seconds": trial.policy.veto_window.total_seconds() if clocked and trial.proposes else None,
        "price": None if trial.price is None else f"{trial.price:f}",
    }


def _judged(found: Hindsight | None) -> Json | None:
    if found is None:
        return None
    sides = {"before": found.before, "after": found.after}
    told = {name: {"what": b.what, "step": b.step, "loss": b.loss} if b else None for name, b in sides.items()}
    return {"verdict": found.verdict.value, **told, "margin": found.margin, "start": found.start, "words": found.words}


# --- for people ---


def report(cases: Sequence[Case], trial: Trial) -> tuple[RenderableType, ...]:
    """Everything, ready to be printed."""
    if not cases:
        return ("no runs in these files",)
    return (_runs(cases, trial), "", *_totals(cases, trial), "", *_granted(cases, trial))


def _runs(cases: Sequence[Case], trial: Trial) -> Table:
    table = tables.plain()
    columns = ("steps saved", "steps lost", "saved", "lost")[: 0 if not trial.acts else 4 if trial.price else 2]
    table.add_column("run", overflow="fold")
    table.add_column("plan", justify="right", no_wrap=True)
    table.add_column("what comes of it", overflow="fold", ratio=2)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("in hindsight", overflow="fold", ratio=2)
    for case in cases:
        worth = case.worth
        cells = (
            _steps(worth.steps_saved),
            _steps(worth.steps_lost),
            show(worth.saved.dollars),
            show(worth.lost.dollars),
        )
        table.add_row(
            Text(drawing.sentence(case.id)),
            f"{case.plan:,}" if case.plan else "?",
            Text(drawing.sentence(_what_came(case))),
            *(cell if case.cancel else "" for cell in cells[: len(columns)]),
            Text(f"{_VERDICTS[case.judged.verdict]}: {case.judged.words}" if case.judged else ""),
        )
    return table


def _what_came(case: Case) -> str:
    if case.proposals:
        return "; ".join(_ended(p) for p in case.proposals)
    lasting = [r for r in case.refused if not r.guard.passing]
    told = [f"{_named(r)} refused at {_from_to(r)}: {r.reason}" for r in lasting if not _never(r)]
    never = ", ".join(_named(r) for r in lasting if _never(r))
    return "; ".join([*told, *([f"never cancel: {never}"] if never else [])])


def _never(no: Refused) -> bool:
    return no.guard is Guard.CAPABILITY


def _ended(proposed: Proposed) -> str:
    since = f", proposed at {proposed.step}" if proposed.step != proposed.ended else ""
    where = f"at {proposed.ended} " if proposed.ended is not None else ""
    why = f": {proposed.detail}" if proposed.detail else ""
    return f"{_CAME[proposed.outcome]} {where}({proposed.rule}{since}){why}"


def _named(no: Refused) -> str:
    return no.rule if no.kind in ("", no.rule) else f"{no.rule} ({no.kind})"


def _from_to(no: Refused) -> str:
    return f"{no.step}" if no.step == no.until else f"{no.step} to {no.until}"


def _steps(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _totals(cases: Sequence[Case], trial: Trial) -> list[str]:
    done = [case for case in cases if case.cancel is not None]
    lines = [f"{_count(len(cases), 'run')}, {trial.policy.mode}: {_outcomes(cases)}"]
    if not trial.acts:
        return lines
    worths = [case.worth for case in done]
    saved, lost = (w.steps_saved for w in worths), (w.steps_lost for w in worths)
    lines += [f"steps saved: {_sum(saved)}", f"steps lost: {_sum(lost)}"]
    if trial.price is not None:
        figures = {"saved": [w.saved for w in worths], "lost": [w.lost for w in worths]}
        lines += [f"dollars {name}: {_added(found)}" for name, found in figures.items()]
    return lines


def _outcomes(cases: Sequence[Case]) -> str:
    """How many runs came to what, each by the last thing that happened to it."""
    verdicts = [case.judged.verdict for case in cases if case.judged is not None]
    told = [f"{len(verdicts):,} cancelled" if any(case.cancel for case in cases) else "none cancelled"]
    if verdicts and not any(case.cancel for case in cases):
        told.append(f"{len(verdicts):,} would be")
    if verdicts:
        told[-1] += f" ({', '.join(f'{verdicts.count(v):,} {word}' for v, word in _VERDICTS.items() if v in verdicts)})"
    for outcome, words in ((Outcome.WITHDRAWN, "withdrawn"), (Outcome.OPEN, "still open where the recording ends")):
        found = sum(case.cancel is None and _last(case) is outcome for case in cases)
        told += [f"{found:,} {words}"] if found else []
    return ", ".join(told)


def _last(case: Case) -> Outcome | None:
    return case.proposals[-1].outcome if case.proposals else None


def _sum(counts: Iterable[int | None]) -> str:
    found = list(counts)
    known, unknown = sum(count for count in found if count is not None), found.count(None)
    return f"{known:,}; {_count(unknown, 'run')} unknown" if unknown else f"{known:,}"


def _added(figures: Sequence[Figure]) -> str:
    return moneywords.added(billing.total(figures)) or show(Decimal(0))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _granted(cases: Sequence[Case], trial: Trial) -> list[str]:
    """What the figures rest on."""
    lines = [_own_time(trial)] if any(case.timed for case in cases) else []
    lines += [] if all(case.timed for case in cases) else [_timing(trial)]
    lines.append(
        "Not tried here: vetoes, the kill switch, the settings under life, and max_per_hour, since the runs are "
        "independent. The never-cancel list sees the run's id alone."
    )
    if trial.policy.mode is CancelMode.OFF:
        return lines
    lines.append(
        "A cancel is wrong when the run later had a better loss than until then, and one below that of its start."
    )
    if not trial.acts:
        return lines
    lines.append(
        "Saved are the steps of the plan that a right cancel left; lost are those done and paid for before a wrong one."
    )
    if trial.price is not None:
        lines.append(f"Each run is taken to cost {show(trial.price)} (--price); {moneywords.FREE}.")
    return lines


def _own_time(trial: Trial) -> str:
    vetoes = f", a veto window of {span(trial.policy.veto_window)} that nobody uses"
    every = f"Rows that have a time are taken by it: a sweep every {span(trial.timing.interval)}"
    return f"{every}{vetoes if trial.proposes else ''}."


def _timing(trial: Trial) -> str:
    window, seconds = trial.policy.veto_window, trial.timing.step_seconds
    if seconds is None:
        said = "How long a step lasts is not known (--step-seconds): each row counts as a sweep"
        early = f", and the veto window of {span(window)} as over at once. No cancel could have been earlier"
        return f"{said}{early if trial.proposes else ''}."
    said = f"A step is taken to last {number(seconds)} s (--step-seconds): a sweep"
    vetoes = f", a veto window of {_long(window, seconds)} that nobody uses"
    return f"{said} every {_long(trial.timing.interval, seconds)}{vetoes if trial.proposes else ''}."


def _long(time: timedelta, step_seconds: float) -> str:
    return f"{span(time)} ({number(time.total_seconds() / step_seconds)} steps)"
