"""The facts below a message's sentence: when, how far, how much money, which checkpoint, and how fresh all that is."""

from collections.abc import Sequence
from datetime import datetime

from watcher.domain import continuing, moneywords
from watcher.domain.alerts import Alert, Transition, TransitionReason
from watcher.domain.facts import JobFacts
from watcher.domain.phrasing import clock, number, steps
from watcher.domain.rule import SubjectKind

Rows = Sequence[tuple[str, str]]

_BEGINS = frozenset({TransitionReason.FIRST, TransitionReason.AGAIN})
_REPEATED = 8
"""A value so long that stands in the sentence already says nothing new."""
_INNER = frozenset(
    {"row noise", "noise of an eval", "doubt", "gain still expected", "what", "where", "last reason"}
    | {"start", "now", "highest level", "rows above", "rows without a usable loss"}
)
"""Evidence for whoever looks into a rule, not for whoever is woken up; or it stands in the sentence in other words."""
_SAME = {
    "step": ("steps done", "steps"),
    "best eval": ("best eval loss",),
}
"""What a rule's own evidence says of the same thing under another name."""


def rows(transition: Transition, facts: JobFacts | None) -> tuple[tuple[str, str], ...]:
    """Ordered (label, value) pairs, each label once: what the rule itself says comes first."""
    alert = transition.alert
    found = {name: value for name, value in alert.evidence if name not in _INNER}
    about = _job_rows(transition, facts) if alert.subject.kind is SubjectKind.JOB else _when(transition)
    for name, value in (*about, ("account", alert.subject.account), ("alert", f"{alert.id} ({alert.rule})")):
        if name not in found and not any(other in found for other in _SAME.get(name, ())):
            found[name] = value
    return tuple((name, value) for name, value in found.items() if value and not _repeated(value, alert.reason))


def _repeated(value: str, sentence: str) -> bool:
    return len(value) >= _REPEATED and value in sentence


def moment(at: datetime) -> str:
    """A moment, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _when(transition: Transition) -> Rows:
    """Of a condition since when it holds; of something that happened, when it was seen to have."""
    alert = transition.alert
    if alert.notice:
        return (("seen", moment(alert.starts_at)),)
    ended = (("until", moment(alert.ends_at)),) if alert.ends_at else ()
    return (("since", moment(alert.starts_at)), *ended)


def _job_rows(transition: Transition, facts: JobFacts | None) -> Rows:
    alert = transition.alert
    began = ("began at step", "" if alert.onset is None else str(alert.onset))
    if facts is None:
        return (*_when(transition), began, ("job", alert.subject.job_id))
    over, cancels = alert.ends_at is not None, alert.may_cancel
    return (*_when(transition), began, *_about(facts, onset=alert.onset, over=over, cancels=cancels))


def of_job(facts: JobFacts, alerts: Sequence[Alert]) -> tuple[tuple[str, str], ...]:
    """The same of a job about which several alerts are told at once."""
    onset = min((alert.onset for alert in alerts if alert.onset is not None), default=None)
    over, cancels = all(alert.ends_at is not None for alert in alerts), any(alert.may_cancel for alert in alerts)
    about = (*_about(facts, onset=onset, over=over, cancels=cancels), ("account", facts.account))
    return tuple((name, value) for name, value in about if value)


def _about(facts: JobFacts, *, onset: int | None, over: bool, cancels: bool) -> Rows:
    return (
        ("step", _progress(facts)),
        ("best eval", _best_eval(facts)),
        *_checkpoints(facts, onset, cancels=cancels and not over and facts.running),
        *moneywords.rows(facts.meter, over=over, cancels=cancels),
        ("data as of", _freshness(facts)),
        ("model", facts.model),
        ("job", facts.job_id),
        ("restarted from", facts.restarted_from),
    )


def _progress(facts: JobFacts) -> str:
    """How far it is, and what the API says it is doing."""
    done = "none yet" if facts.step is None else steps(facts.step, facts.total_steps)
    if facts.step is not None and facts.total_steps:
        done += f" ({100 * facts.step / facts.total_steps:.0f} %)"
    return f"{done}, {facts.status}" if facts.status else done


def _best_eval(facts: JobFacts) -> str:
    return "" if facts.best_eval is None else f"{number(facts.best_eval)} at step {facts.best_eval_step}"


def _checkpoints(facts: JobFacts, onset: int | None, *, cancels: bool) -> Rows:
    """What is saved, or that nothing is."""
    nothing = facts.checkpoint_step is None and facts.choice.saved is None and not facts.running
    if facts.step is None or nothing or facts.meter.gone:
        return ()
    found = continuing.rows(
        facts.choice, facts.job_id, newest=facts.checkpoint_step, unplaced=facts.saved_unplaced, onset=onset
    )
    return found or (("newest checkpoint", _none_saved(facts, cancels=cancels)), *continuing.unsaved(facts.choice))


def _none_saved(facts: JobFacts, *, cancels: bool) -> str:
    """Said early: whoever may cancel, or let it be cancelled, must know what is lost with it."""
    loses = continuing.lost(facts.step) if cancels else ""
    seen = f", as of {clock(facts.log_read_at)}" if facts.log_read_at else ""
    return f"none saved yet{seen}{f': {loses}' if loses else ''}"


def _freshness(facts: JobFacts) -> str:
    """When the newest row came in: a reminder tells of the job as it was when the alert last changed."""
    return moment(facts.fresh_at) if facts.fresh_at is not None and facts.running else ""


def hint(transition: Transition, facts: JobFacts | None) -> str:
    """What the watcher did or will do, and how to stop it."""
    alert = transition.alert
    if transition.reason in (TransitionReason.REMINDER, TransitionReason.ESCALATED):
        return f"To stop reminders: watcher ack {alert.id}"
    if transition.note or transition.reason not in _BEGINS or facts is None:
        return done(transition)
    return " ".join(part for part in (facts.cancel, _veto(alert, facts)) if part)


def done(transition: Transition) -> str:
    """What became of a cancel; why an alert is over is told elsewhere."""
    return "" if transition.reason in (TransitionReason.RESOLVED, TransitionReason.ENDED) else transition.note


def _veto(alert: Alert, facts: JobFacts) -> str:
    """How to keep the job, where it may be cancelled."""
    if not alert.may_cancel or not facts.running:
        return ""
    if facts.vetoed:
        return f"Cancels of this job are vetoed; to lift that: watcher veto --lift {facts.job_id}"
    if facts.cancel_mode in ("enforce", "propose"):
        follows = "A cancel may follow" if facts.cancel_mode == "enforce" else "A cancel may be proposed"
        return f"{follows}; to keep the job: watcher veto {facts.job_id}"
    return f"Nothing is cancelled by itself here; to cancel: watcher cancel {facts.job_id}"
