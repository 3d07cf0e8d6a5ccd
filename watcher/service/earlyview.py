"""What a job's page says of early stopping: why it was stopped, what is left, or what it would have saved."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from watcher.domain.early_stop_check import Left, Would, left, would_have
from watcher.domain.early_stop_words import would_words
from watcher.domain.early_stopping import DOCUMENTED, EarlyStopping, Evaluation, evaluations_of, show, show_all
from watcher.domain.observations import Event, Observation, Row, Snapshot, Status
from watcher.domain.rule import Rule
from watcher.domain.rules.early_stop import EarlyStop
from watcher.domain.verdicts import Breach

Json = dict[str, Any]
Configured = Mapping[str, EarlyStopping]
"""By the name of a selection: what its jobs are created with, as far as the settings say."""

_NOTHING: Json = {"left": None, "halt_step": None, "ships_step": None}


def knobs_of(rules: Iterable[Rule]) -> EarlyStopping | None:
    """What the rules of a selection are told of its jobs; the API does not say it."""
    return next((r.early_stopping for r in rules if isinstance(r, EarlyStop) and r.early_stopping is not None), None)


def early_stopping_view(
    job: Snapshot, rows: Sequence[Row], log: Sequence[Event], knobs: EarlyStopping | None, now: datetime
) -> Json | None:
    """One job's early stopping; None where there is nothing to say: no evaluations, and none planned.

    `state` is stopped (the service did), waiting (it did; the last evaluation is still to be read), running (knobs are
    configured), would_have or would_not_have. `lines` are sentences, `left` how many more bad evaluations in a row end
    the run (`fewest` and `most`, where readings of the documentation differ).
    """
    evals = evaluations_of(rows)
    view = {"settings": str(knobs) if knobs else None, "evals": len(evals), "n_evals": job.n_evals, **_NOTHING}
    stopped = _stopped(job, rows, log, knobs, now)
    if stopped is not None:
        return view | stopped
    if knobs is not None and not job.status.terminal and evals:
        return view | _running(job, evals, knobs)
    if not evals or (job.n_evals or len(evals)) < (knobs or DOCUMENTED).least_evals:
        return None
    return view | _would_have(job, rows, evals, knobs)


def _stopped(
    job: Snapshot, rows: Sequence[Row], log: Sequence[Event], knobs: EarlyStopping | None, now: datetime
) -> Json | None:
    """What the rule tells of it, so that page and message say the same."""
    if not (job.early_stopped or any(event.type == "early_stopped" for event in log)):
        return None
    rule = EarlyStop(early_stopping=knobs)
    state = rule.start()
    seen: list[Observation] = [job, *log, *rows]
    for observation in seen:
        if isinstance(observation, rule.sees):
            rule.observe(state, observation)
    verdict = rule.judge(state, now)
    if not isinstance(verdict, Breach):
        return {"state": "waiting", "lines": ["Stopped early; the evaluation that did it is still to be read."]}
    finding = verdict.findings[0]
    evidence = [_sentence(f"{label}: {value}") for label, value in finding.evidence]
    halted = {"halt_step": finding.step, "ships_step": finding.onset}
    return {"state": "stopped", "lines": [finding.reason, *evidence], **halted}


def _running(job: Snapshot, evals: Sequence[Evaluation], knobs: EarlyStopping) -> Json:
    found = left(evals, knobs)
    if found is None:
        line = f"With {knobs}, as configured, it should have been halted by now: either it is about to be, or it was "
        return {"state": "running", "lines": [f"{line}created with other settings."]}
    coming = None if job.n_evals is None else max(0, job.n_evals - len(evals))
    lines = [_left(found, knobs, coming)]
    if found.course.best is not None:
        lines.append(f"The best evaluation so far is {show(found.course.best)}; with {knobs}, as configured.")
    return {"state": "running", "lines": lines, "left": {"fewest": found.fewest, "most": found.most}}


def _left(found: Left, knobs: EarlyStopping, coming: int | None) -> str:
    bad = found.course.bad
    used = f"{len(bad)} of {knobs.patience} {'is' if len(bad) == 1 else 'are'} used up"
    which = f" ({show_all(bad)})" if bad else ""
    if coming is not None and coming < found.fewest:
        return f"Patience can't be used up any more: {used}{which}, and only {coming} more to come."
    count = str(found.fewest) if found.most == found.fewest else f"{found.fewest} or {found.most}"
    open_ = "" if found.most == found.fewest else "; which, depends on how the service reads min_delta"
    noun = "evaluation" if count == "1" else "evaluations in a row"
    return f"{count} more bad {noun} {'ends' if count == '1' else 'end'} the run: {used}{which}{open_}."


def _would_have(job: Snapshot, rows: Sequence[Row], evals: Sequence[Evaluation], knobs: EarlyStopping | None) -> Json:
    used, whose = (DOCUMENTED, "the documented defaults") if knobs is None else (knobs, "as configured")
    outcomes = list(would_have(evals, used).values())
    until = rows[-1].step if job.status.terminal and job.status is not Status.COMPLETED and rows else job.total_steps
    if all(would is None for would in outcomes):
        return {"state": "would_not_have", "lines": [f"With {used}, {whose}, it would not have been halted so far."]}
    lines = [_outcome(would, used, whose, job, until) for would in outcomes]
    if len(lines) > 1:
        lines.append("Which of these, depends on how the service reads min_delta: that is not documented.")
    if knobs is not None:
        lines.append("It was not halted: early stopping was off, or it was created with other settings.")
    first = outcomes[0]
    steps = {"halt_step": first.halt.step, "ships_step": first.ships} if first is not None else {}
    return {"state": "would_have", "lines": lines, **steps}


def _outcome(would: Would | None, knobs: EarlyStopping, whose: str, job: Snapshot, until: int | None) -> str:
    if would is None:
        return f"With {knobs}, {whose}, it would not have been halted."
    words = would_words(would, knobs, whose, until=until, planned=job.total_steps, price_nano=job.total_price_nano)
    return _sentence(words)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
