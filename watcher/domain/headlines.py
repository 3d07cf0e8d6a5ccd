"""The title of a message: who and what, in words that fit on a lock screen."""

from watcher.domain.alerts import Alert
from watcher.domain.facts import JobFacts

NAME_LIMIT = 30
"""Characters of a job's name in a title; the whole name is in the body."""

_RULES = {
    "divergence": "loss diverged",
    "nan_loss": "loss is not a number",
    "plateau": "loss does not fall any more",
    "overfitting": "overfitting",
    "gradient": "gradients look wrong",
    "loss_spike": "loss spiked and came back",
    "early_stop": "stopped early",
    "completion": "completed",
    "refund": "refunded",
    "failure": "failed",
    "cancellation": "cancelled by somebody else",
    "event_warning": "the service logged a warning",
    "deleted": "deleted",
    "stall": "stalled",
    "queue_time": "waits long in the queue",
    "budget": "over budget",
    "drift": "the API uses a new word",
    "provider_unreachable": "the API can't be used",
    "watcher_fault": "something is wrong",
}
_KINDS = {
    ("divergence", "diverging"): "loss is diverging",
    ("nan_loss", "eval"): "eval loss is not a number",
    ("early_stop", "no_best"): "stopped early without a best step",
    ("early_stop", "forecast"): "may soon be stopped early",
    ("stall", "uploading"): "hangs after training",
    ("drift", "unreadable"): "the API's answers can't be made out",
    ("failure", "user_error"): "failed for its data or settings",
    ("failure", "billing"): "stopped for billing",
    ("refund", "overdue"): "refund is overdue",
    ("refund", "mismatch"): "refund is not what was expected",
    ("provider_unreachable", "auth"): "the API refuses the key",
    ("provider_unreachable", "billing"): "the API refuses for billing",
    ("provider_unreachable", "forbidden"): "the key may not read the jobs",
    ("watcher_fault", "rule_crash"): "a rule crashed",
    ("watcher_fault", "dead_letter"): "a message was not delivered",
    ("watcher_fault", "store"): "the store does not work",
    ("watcher_fault", "reload"): "reload failed, the old settings stay",
    ("watcher_fault", "clock"): "the clock was changed",
    ("watcher_fault", "cancel_rate"): "auto-cancel stopped",
}

_NAMED = frozenset({"rule_crash", "cancel_rate", "status", "event", "metric", "unreadable"})
"""Kinds whose second part is a name that people know."""


def headline(alert: Alert) -> str:
    """What happened, in a few words; a rule that was given another name goes by that name."""
    kind, _, rest = alert.kind.partition(":")
    words = _KINDS.get((alert.rule, kind)) or _RULES.get(alert.rule)
    if words is None:
        return alert.rule if alert.kind in ("", alert.rule) else f"{alert.rule} ({alert.kind})"
    return f"{words}: {rest}" if rest and kind in _NAMED else words


def label(alert: Alert, facts: JobFacts | None) -> str:
    """The name that people know the subject by, cut to what a title can hold."""
    name = facts.label if facts else alert.subject.name
    return name if len(name) <= NAME_LIMIT else f"{name[: NAME_LIMIT - 1]}…"


def title(alert: Alert, facts: JobFacts | None) -> str:
    """Who and what; formats put the severity, or what became of it, before it."""
    return f"{label(alert, facts)}: {headline(alert)}"
